import { hasCode } from '../config/errors.js';
import type { Addon } from '../native/contract.js';
import type { JobHooks } from '../native/job.js';
import { openData } from './open.js';
import { type FoundSet, findSuite } from './suite.js';
import type { Archive, Suite } from './suites.js';

/** What there is of one set of a suite. */
export interface SetState {
  suite: string;
  /** `CIFAR-10 (test)`, or an OoD set's own name. */
  set: string;
  state: 'complete' | 'incomplete' | 'missing' | 'damaged';
  /** Images there; null where it cannot be opened. */
  images: number | null;
  /** Images of the whole set. */
  expected: number;
  /** Where it is, or belongs. */
  path: string;
  /** Why it counts as damaged. */
  reason?: string;
  note?: string | undefined;
  archives: readonly Archive[];
}

export interface InventorySettings extends JobHooks {
  /** Told the title of the set that is opened next. */
  onStage?: ((stage: string) => void) | undefined;
  threads?: number | undefined;
  addon?: Addon | undefined;
}

/**
 * Opens each set of a suite (its index; no image is decoded) and tells what is there.
 *
 * @throws ModeEnsembleError E_ABORTED, E_ADDON; what is wrong with a set is told as its state
 */
export async function listSuite(suite: Suite, root: string, settings: InventorySettings = {}): Promise<SetState[]> {
  const { train, test, out } = findSuite(suite, root);
  const states: SetState[] = [];
  for (const part of [train, test, ...out]) states.push(await stateOf(suite, part, root, settings));
  return states;
}

async function stateOf(suite: Suite, part: FoundSet, root: string, settings: InventorySettings): Promise<SetState> {
  const { set, title, images: expected, path, spec } = part;
  const { note, archives } = set;
  const about = { suite: suite.name, set: title, expected, path, note, archives };
  if (!spec) return { ...about, state: 'missing', images: null };
  const { onStage, ...others } = settings;
  onStage?.(`open ${title}`);
  try {
    using opened = await openData(spec, { ...others, root, where: title });
    const { count: images } = opened;
    return { ...about, state: images < expected ? 'incomplete' : 'complete', images };
  } catch (error) {
    if (!hasCode(error, 'E_DATA') && !hasCode(error, 'E_IO')) throw error;
    return { ...about, state: 'damaged', images: null, reason: (error as Error).message };
  }
}
