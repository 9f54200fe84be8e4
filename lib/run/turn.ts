import { setImmediate as nextTurn } from 'node:timers/promises';
import { ModeEnsembleError } from '../config/errors.js';

/** Lets timers and signals run, then stops if asked to. @throws ModeEnsembleError E_ABORTED */
export async function turn(signal: AbortSignal | undefined): Promise<void> {
  await nextTurn();
  if (signal?.aborted) throw new ModeEnsembleError('E_ABORTED', 'The evaluation was stopped.');
}
