/** Tuning of the Mahalanobis detector: which magnitude, and the regression of each, for modes and ensembles. */
import { ConfigError } from '../config/errors.js';
import type { DataSet } from '../data/open.js';
import {
  type Adversarial,
  getDetector,
  MAGNITUDES,
  type NetworkHooks,
  type Networks,
  type ParameterValue,
  resolveParameters,
  type TuningRecord,
} from '../detectors/index.js';
import { predictLogistic } from '../detectors/logistic.js';
import { adversarialOf, fitRegression, halvesOf, shares } from '../detectors/mahalanobis.js';
import { joinMembers } from '../ensemble/index.js';
import { PLAIN, passId } from '../features/pass.js';
import { FeatureFile } from '../features/store.js';
import { measure } from '../metrics/index.js';
import { archOf } from './check-spaces.js';
import { chooseDetectors } from './experiment.js';
import { extractFeatures, type StageHooks } from './extract.js';
import { networksOf } from './networks.js';
import {
  type CheckpointSettings,
  type CleanResult,
  ensemblesOf,
  extractSettings,
  nameField,
  type OodSettings,
  openTest,
  openTrain,
  prepare,
  requireLabelled,
  suiteOf,
} from './run-checkpoints.js';
import { keepWarnings } from './sets.js';
import { keptTuningPath, tuningKey, writeTuning } from './tuning-file.js';
import { usableDetectors } from './usable-detectors.js';

export interface TuneSettings extends CheckpointSettings, Pick<OodSettings, 'train' | 'ensembles'> {
  /** Magnitudes to choose among; of equally good ones the first is taken. Default: the paper's. */
  magnitudes?: readonly number[] | undefined;
  /** Of the adversarial copies; default: the suite's. */
  step?: number | undefined;
  clamp?: string | undefined;
  /** A file for all records; without it each goes into the feature store, where evaluation finds it. */
  save?: string | undefined;
}

export interface TuneResult extends Pick<CleanResult, 'in' | 'arch' | 'skipped' | 'skippedImages'> {
  /** Of each mode, then of each ensemble. */
  records: TuningRecord[];
  /** Where they are: one file for all of them, or one for each. */
  files: string[];
  warnings: string[];
}

/**
 * Finds the magnitude for each mode and each ensemble: for every magnitude a logistic regression on the first 500 test
 * images and their adversarial copies, and then the lowest FPR95 on the next 500.
 *
 * @throws ModeEnsembleError E_CONFIG, E_CHECKPOINT, E_DATA, E_NUMERIC, E_IO, E_ABORTED; what was computed is kept
 */
export async function tuneMahalanobis(settings: TuneSettings, hooks: StageHooks = {}): Promise<TuneResult> {
  const { magnitudes = MAGNITUDES, save } = settings;
  checkMagnitudes(magnitudes, nameField(settings, 'magnitudes'));
  // A mistyped value shows before anything is opened.
  parametersOf(settings);
  const { hooks: heard, warnings } = keepWarnings(hooks);
  const { modes, sets } = await prepare(settings, false, heard);
  const suite = suiteOf(sets, modes);
  const adversarial = adversarialOf(parametersOf(settings, suite));
  const names = modes.members.map(({ name }) => name);
  const ensembles = ensemblesOf(settings, modes);
  // Networks without stages, and modes that have no features in common, are refused before anything is extracted.
  const where = nameField(settings, 'checkpoints');
  const asked = chooseDetectors(['mahalanobis'], where, suite);
  const wish = { asked, suite, ensembles, fusion: 'paper' as const, ownTrain: settings.train, where };
  usableDetectors(wish, modes.members, sets, heard);
  using test = await openTest(settings, sets, heard);
  using train = await openTrain(settings, sets, heard);
  const features = { train, test, out: [] as DataSet[] };
  requireLabelled(modes, test);
  const extraction = extractSettings(settings, modes, features, [PLAIN]);
  const { members, skipped, skippedImages } = await extractFeatures(extraction, heard);
  const { store } = extraction;
  const networks = networksOf(extraction, heard);
  const files = await Promise.all(members.map(({ train: of }) => FeatureFile.open(of?.[passId(PLAIN)] as string)));
  const records: TuningRecord[] = [];
  for (const subset of [...names.map((name) => [name]), ...ensembles]) {
    hooks.onStage?.(`tune ${joinMembers(subset)}`);
    const own = subset.map((name) => files[names.indexOf(name)] as FeatureFile);
    const record = await tuneMembers(networks, subset, own, test.name, magnitudes, adversarial, heard);
    records.push(record);
    // At once, so that what is finished stays where the rest is stopped.
    if (save === undefined) await writeTuning(keptTuningPath(store, record.key), [record]);
  }
  if (save !== undefined) await writeTuning(save, records);
  return {
    in: test.name,
    arch: archOf(members),
    records,
    files: save === undefined ? [...new Set(records.map(({ key }) => keptTuningPath(store, key)))] : [save],
    warnings,
    skipped,
    skippedImages,
  };
}

/** One mode or ensemble. The gradients of an image serve all magnitudes. */
async function tuneMembers(
  networks: Networks,
  members: readonly string[],
  train: readonly FeatureFile[],
  set: string,
  magnitudes: readonly number[],
  adversarial: Adversarial,
  hooks: NetworkHooks,
): Promise<TuningRecord> {
  const { fit, validation, count } = halvesOf(networks, set);
  const share = shares(hooks, 5);
  using _held = networks.hold();
  const gaussians = await networks.gaussians(members, train, share());
  const half = async (first: number) => {
    const request = { gaussians, set, first, count, magnitudes };
    const clean = await networks.stageScores({ ...request, adversarial: null }, share());
    const copies = await networks.stageScores({ ...request, adversarial }, share());
    return magnitudes.map((_, i) => ({ clean: clean[i] as Float64Array, copies: copies[i] as Float64Array }));
  };
  const fitting = await half(fit);
  const validating = await half(validation);
  const stages = gaussians.stages.length;
  const fits = magnitudes.map((magnitude, index) => {
    const { clean, copies } = fitting[index] as (typeof fitting)[number];
    const model = fitRegression(clean, copies, stages);
    const held = validating[index] as (typeof validating)[number];
    const [inScores, outScores] = [held.clean, held.copies].map((scores) =>
      predictLogistic(model, scores).map((probability) => 0 - probability),
    ) as [Float64Array, Float64Array];
    const of = `(mahalanobis, ${joinMembers(members)}, magnitude ${magnitude})`;
    const found = measure(inScores, outScores, {
      convention: 'reference',
      names: { in: `the validation half ${of}`, out: `its adversarial copies ${of}` },
    });
    for (const message of found.warnings) networks.tell('warning', message);
    if (!model.converged) networks.tell('warning', `The regression did not converge ${of}`);
    const { c, intercept, converged } = model;
    const { fpr95, auroc } = found;
    return { magnitude, fpr95, auroc, c, coefficients: [...model.coefficients], intercept, converged };
  });
  const lowest = Math.min(...fits.map(({ fpr95 }) => fpr95));
  const source = networks.tuningSource(members, adversarial);
  const rows = (scores: { clean: Float64Array } | undefined) => (scores?.clean.length ?? 0) / stages;
  return {
    key: tuningKey(source),
    source,
    members: [...members],
    images: [rows(fitting[0]), rows(validating[0])],
    magnitudes: fits,
    best: fits.find(({ fpr95 }) => fpr95 === lowest)?.magnitude as number,
  };
}

function parametersOf({ step, clamp, ...settings }: TuneSettings, suite?: string) {
  const given = Object.entries({ step, clamp }).filter(([, value]) => value !== undefined);
  try {
    return resolveParameters(
      getDetector('mahalanobis'),
      Object.fromEntries(given) as Record<string, ParameterValue>,
      suite,
    );
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const field = /^Detector mahalanobis, (step|clamp): /.exec(error.message);
    throw field
      ? new ConfigError(
          `${nameField(settings as TuneSettings, field[1] as string)}: ${error.message.slice(field[0].length)}`,
        )
      : error;
  }
}

function checkMagnitudes(magnitudes: readonly number[], where: string): void {
  if (magnitudes.length === 0) throw new ConfigError(`${where}: expected at least one magnitude, found none`);
  for (const [index, magnitude] of magnitudes.entries()) {
    if (!(Number.isFinite(magnitude) && magnitude >= 0)) {
      throw new ConfigError(`${where}: expected numbers of at least 0, found ${magnitude}`);
    }
    if (magnitudes.indexOf(magnitude) !== index) {
      throw new ConfigError(`${where}: magnitude ${magnitude} is given twice`);
    }
  }
}
