/** Cells of finished results, made again from the networks and the images, and compared. */
import { copyFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ModeEnsembleError } from '../config/errors.js';
import type { ExperimentInput } from '../config/schema.js';
import { MEMBER_SEPARATOR } from '../ensemble/index.js';
import { FeatureStore } from '../features/store.js';
import { MEASURE_NAMES, type MeasureName } from '../metrics/index.js';
import { getAddon } from '../native/load.js';
import { besideOf } from './beside.js';
import { evaluate } from './evaluate.js';
import { readEvaluation } from './evaluation-file.js';
import { needsTrainFeatures, passesOf } from './experiment.js';
import { extractFeatures, servicesOf } from './extract.js';
import { runFolderAt } from './folder.js';
import { networksOf } from './networks.js';
import { completeOf, planModels, type RunHooks } from './run.js';
import { evaluationKey } from './step-evaluate.js';
import { togetherOf } from './together.js';
import type { ResultRow } from './types.js';
import { Work } from './work.js';

/** Results are the same bits on the same machine; on another one, the last bits of features may tip a few images over. */
const TOLERANCE = 1e-3;
const DEFAULT_CELLS = 3;

export interface VerifiedCell {
  arch: string;
  out: string;
  detector: string;
  members: string;
  /** The largest difference of a metric, a fraction. */
  difference: number;
  metric: MeasureName;
  isEqual: boolean;
}

export interface VerifyRunResult {
  cells: VerifiedCell[];
  /** All rows of the results. */
  of: number;
}

/**
 * Draws rows of the results at random, and makes each again: its images through its networks, scores and metrics. Nothing that
 * the run has kept is read but the checkpoints and what was tuned.
 *
 * @param cells how many; default: 3
 * @throws ModeEnsembleError E_DATA where there are no results of these settings, E_CONFIG, E_ABORTED
 */
export async function verifyRun(
  experiment: ExperimentInput | string,
  hooks: RunHooks & { cells?: number | undefined; random?: () => number } = {},
): Promise<VerifyRunResult> {
  const { cells = DEFAULT_CELLS, random = Math.random } = hooks;
  const { complete, where } = completeOf(experiment, hooks);
  const addon = hooks.addon ?? getAddon();
  const models = planModels(complete, where, addon);
  const folder = runFolderAt(complete.run);
  using work = await Work.open({ models, folder, addon, hooks });
  const all: [number, ResultRow][] = [];
  for (const model of models.keys()) {
    const key = await evaluationKey(work, model);
    const kept = key === undefined ? undefined : await readEvaluation(folder.steps, key).catch(() => undefined);
    if (!kept) {
      const what = 'expected finished results of these settings to compare with, found none; run it first';
      throw new ModeEnsembleError('E_DATA', `${folder.path}: ${what}`);
    }
    all.push(...kept.evaluation.rows.map((row): [number, ResultRow] => [model, row]));
  }
  const drawn = shuffled(all, random).slice(0, cells);
  const found: VerifiedCell[] = [];
  for (const [model, row] of drawn) found.push(await verifyCell(work, model, row));
  return { cells: found, of: all.length };
}

async function verifyCell(work: Work, model: number, row: ResultRow): Promise<VerifiedCell> {
  const { detectors, experiment, sets } = work.plan(model);
  const { arch, out, detector, members } = row;
  const names = members.split(MEMBER_SEPARATOR);
  const choice = detectors.filter(({ name, label = name }) => label === detector);
  const { signal, onProgress, onStage } = work.hooks;
  const quiet = {
    signal,
    onProgress,
    onStage: (stage: string) => onStage?.(`verify ${detector} ${members} ${out}: ${stage}`),
  };
  const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-verify-'));
  try {
    for (const name of readdirSync(work.folder.features)) {
      if (/^mahalanobis-.*\.json$/.test(name)) copyFileSync(join(work.folder.features, name), join(folder, name));
    }
    const own = (await work.membersThere(model)).filter(({ name }) => names.includes(name));
    const train = needsTrainFeatures(choice) ? work.sets.train : undefined;
    const extraction = {
      ...work.extraction(model, own),
      sets: { train, test: work.sets.test, out: work.sets.out.filter(({ name }) => name === out) },
      passes: passesOf(choice),
      store: new FeatureStore(folder),
    };
    const networks = networksOf(extraction, {});
    const beside = besideOf(choice, networks, quiet);
    const extracted = await extractFeatures({ ...extraction, beside }, quiet);
    const { fusion, convention } = experiment.evaluate;
    const ensembles = names.length > 1 ? [names] : [];
    const input = {
      in: sets.in.spec.name,
      members: extracted.members,
      ensembles,
      detectors: choice,
      fusion,
      convention,
    };
    const services = { ...servicesOf(work.addon), networks, together: togetherOf(extraction, quiet) };
    const { rows } = await evaluate({ ...input, threads: experiment.threads }, quiet, services);
    const again = rows.find((one) => one.members === members && one.out === out) as ResultRow;
    const differences = MEASURE_NAMES.map((metric) => ({ metric, difference: Math.abs(again[metric] - row[metric]) }));
    const worst = differences.reduce((a, b) => (b.difference > a.difference ? b : a));
    return { arch, out, detector, members, ...worst, isEqual: worst.difference <= TOLERANCE };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const all = [...items];
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [all[i], all[j]] = [all[j] as T, all[i] as T];
  }
  return all;
}
