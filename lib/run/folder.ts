import { join } from 'node:path';
import { makeWritableFolder } from '../config/folders.js';
import { modeFolder } from '../modes/find.js';

/**
 * Where a run keeps what it makes:
 * ```
 * experiment.json                 resolved settings, versions, hashes
 * modes/<arch>/seed-<n>/          checkpoint.safetensors, log.jsonl
 * features/                       the feature store
 * results.csv results.json         the numbers
 * curves.json                     what charts are made of beyond them
 * report.html report.md report.tex figures/
 * ```
 * A file that is there is whole: each is written to a temporary name and renamed.
 */
export interface RunFolder {
  readonly path: string;
  readonly features: string;
  readonly curves: string;
  readonly settings: string;
  mode(archId: string, seed: number): string;
}

/**
 * Creates the folder where it is missing and makes sure that it can be written, before hours are spent on it.
 *
 * @throws ModeEnsembleError E_IO
 */
export async function openRunFolder(path: string): Promise<RunFolder> {
  const features = join(path, 'features');
  await makeWritableFolder(path);
  await makeWritableFolder(features);
  return {
    path,
    features,
    curves: join(path, 'curves.json'),
    settings: join(path, 'experiment.json'),
    mode: (archId, seed) => modeFolder(path, archId, seed),
  };
}
