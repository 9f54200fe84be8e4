import { join } from 'node:path';
import { makeWritableFolder } from '../config/folders.js';
import { modeFolder } from '../modes/find.js';

/**
 * Where a run keeps what it makes:
 * ```
 * experiment.json                 resolved settings, versions, hashes
 * modes/<arch>/seed-<n>/          checkpoint.safetensors, log.jsonl
 * features/                       the feature store
 * steps.jsonl                     what was done, see journal.ts
 * steps/                          scores of detectors and evaluations by their keys; what a cluster was asked for
 * results.csv results.json report.html
 * ```
 * A file that is there is whole: each is written to a temporary name and renamed.
 */
export interface RunFolder {
  readonly path: string;
  readonly features: string;
  readonly steps: string;
  readonly journal: string;
  readonly report: string;
  readonly settings: string;
  mode(archId: string, seed: number): string;
}

/** Names the places; nothing is made. */
export function runFolderAt(path: string): RunFolder {
  return {
    path,
    features: join(path, 'features'),
    steps: join(path, 'steps'),
    journal: join(path, 'steps.jsonl'),
    report: join(path, 'report.html'),
    settings: join(path, 'experiment.json'),
    mode: (archId, seed) => modeFolder(path, archId, seed),
  };
}

/**
 * Creates the folder where it is missing and makes sure that it can be written, before hours are spent on it.
 *
 * @throws ModeEnsembleError E_IO
 */
export async function openRunFolder(path: string): Promise<RunFolder> {
  const folder = runFolderAt(path);
  for (const one of [path, folder.features, folder.steps]) await makeWritableFolder(one);
  return folder;
}
