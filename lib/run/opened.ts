/** Data sets that are opened, and closed, together. */
import type { DataSet } from '../data/open.js';

/**
 * Runs `open`, which hands each set it opens to `keep`. Disposing of the result closes them all; where `open` fails, none stays open.
 *
 * @throws whatever `open` throws
 */
export async function openTogether<T extends object>(
  open: (keep: (set: DataSet) => DataSet) => Promise<T>,
): Promise<T & Disposable> {
  const opened: DataSet[] = [];
  const dispose = () => {
    for (const set of opened) set.dispose();
  };
  const keep = (set: DataSet) => {
    opened.push(set);
    return set;
  };
  try {
    return { ...(await open(keep)), [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}
