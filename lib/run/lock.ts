/** One run at a time works in a run folder. */
import { join } from 'node:path';
import { hasCode, ModeEnsembleError } from '../config/errors.js';
import type { Addon } from '../native/contract.js';
import type { RunFolder } from './folder.js';

/** @throws ModeEnsembleError E_IO where another run works there */
export function lockRun(folder: RunFolder, addon: Addon): Disposable {
  const path = join(folder.steps, 'lock');
  try {
    const lock = addon.lockFile(path);
    return { [Symbol.dispose]: () => lock.release() };
  } catch (error) {
    if (!hasCode(error, 'E_IO')) throw error;
    const advice = 'wait for it, stop it, or give this one another folder with --run';
    const message = `${folder.path}: another run works in this folder (${(error as Error).message}); ${advice}`;
    throw new ModeEnsembleError('E_IO', message, { cause: error });
  }
}
