import { basename, dirname, join, resolve } from 'node:path';
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
 * results.csv results.json        the numbers
 * curves.json                     what charts are made of beyond them
 * landscape/                      loss landscapes, where they are asked for
 * report.html report.md report.tex figures/
 * ```
 * With several architectures, results.csv and results.json are of all of them, and what is of one alone lies in
 * `archs/<arch>/`: its results, curves, landscapes and report, as a run of it would have left them.
 * A file that is there is whole: each is written to a temporary name and renamed.
 */
export interface RunFolder {
  readonly path: string;
  readonly features: string;
  readonly steps: string;
  readonly journal: string;
  readonly settings: string;
  mode(archId: string, seed: number): string;
  /** Where the report of one architecture of several lies. */
  arch(archId: string): string;
}

/** The folder of an architecture's results in a run of several. */
const ARCHS = 'archs';

/** The run folder that the results in a folder belong to: that folder, or the one with the results of all architectures. */
export function runOf(folder: string): string {
  const archs = dirname(resolve(folder));
  return basename(archs) === ARCHS ? dirname(archs) : resolve(folder);
}

/** Names the places; nothing is made. */
export function runFolderAt(path: string): RunFolder {
  return {
    path,
    features: join(path, 'features'),
    steps: join(path, 'steps'),
    journal: join(path, 'steps.jsonl'),
    settings: join(path, 'experiment.json'),
    mode: (archId, seed) => modeFolder(path, archId, seed),
    arch: (archId) => join(path, ARCHS, archId),
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
