import type { Addon, Inspection } from '../native/contract.js';
import { type JobHooks, startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';

export interface InspectSettings {
  /** The entry of a torch file that holds the weights; default: the first of the usual names. */
  dictionary?: string | undefined;
  /** Look for an architecture that the weights fit. */
  identify?: boolean | undefined;
  addon?: Addon | undefined;
}

/**
 * What a checkpoint holds: a `.pth` of torch.save, zip or legacy, or a safetensors file. None of its code is run.
 *
 * @throws ModeEnsembleError E_CHECKPOINT with the file and the byte where it is damaged or not to be trusted, E_IO
 */
export function inspectCheckpoint(
  path: string,
  { dictionary = '', identify = false, addon = getAddon() }: InspectSettings = {},
  hooks: JobHooks = {},
): Promise<Inspection> {
  return startJob((sink) => addon.inspectCheckpoint({ path, dictionary, identify }, sink), hooks).done;
}
