/**
 * mode-ensemble: trains networks from several seeds (modes) and measures how well each of them, and every ensemble of
 * them, tells out-of-distribution images from in-distribution ones.
 *
 * @example
 * import { runExperiment } from 'mode-ensemble';
 *
 * const { evaluation, folder } = await runExperiment({
 *   in: 'builtin:shapes',
 *   out: ['builtin:blends', 'builtin:strokes'],
 *   arch: 'cifar-resnet18',
 *   width: 16,
 *   seeds: [1000, 1100, 1200],
 *   train: { epochs: 8, batchSize: 128 },
 * });
 * console.log(folder, evaluation.rows.filter((row) => row.kind === 'ensemble'));
 *
 * @module
 */
export {
  type BenchPrecision,
  measureSpeed,
  type NetworkSpeed,
  type SpeedReport,
  type SpeedSettings,
} from './bench/speed.js';
export { ConfigError, ERROR_CODES, type ErrorCode, hasCode, ModeEnsembleError } from './config/errors.js';
export { completeExperiment, loadExperiment, parseExperiment } from './config/load.js';
export type { EvaluateSettings, Experiment, ExperimentInput, TrainSettings } from './config/schema.js';
export { VERSION } from './config/version.js';
export { type InventorySettings, listSuite, type SetState } from './data/inventory.js';
export { type DataSet, type OpenDataSettings, openData } from './data/open.js';
export { type DataSpec, parseDataSpec, type Split } from './data/spec.js';
export {
  type FoundSet,
  type FoundSuite,
  findSuite,
  type OpenSuite,
  type OpenSuiteSettings,
  openSuite,
} from './data/suite.js';
export { type Archive, getSuite, type Place, SUITES, type Suite, type SuiteSet } from './data/suites.js';
export { verifyData } from './data/verify.js';
export {
  DETECTORS,
  type Detector,
  getDetector,
  type Parameter,
  type ScoreContext,
  type SetContext,
} from './detectors/index.js';
export { FUSIONS, type FusionName, meanOverModes, subsetsOfSize } from './ensemble/index.js';
export {
  chooseStored,
  FeatureFile,
  FeatureStore,
  listStored,
  removeStored,
  type Selection,
  type StoredFile,
  type StoredState,
  type StoredVerdict,
  verifyStored,
} from './features/index.js';
export { type ConnectResult, type ConnectSettings, connectModes, type PathSummary } from './landscape/connect.js';
export {
  type LandscapeSettings,
  makeLandscape,
  type OodLabels,
  type SurfaceKind,
} from './landscape/landscape.js';
export type { LandscapeHooks } from './landscape/points.js';
export type { LandscapeResult, SurfaceSummary } from './landscape/surface-files.js';
export * as metrics from './metrics/index.js';
export { type Architectures, type ModeArch, type ResolveArchSettings, resolveArch } from './modes/arch.js';
export {
  type CheckpointMember,
  type CheckpointSet,
  type OpenCheckpointsSettings,
  openCheckpoints,
} from './modes/checkpoints.js';
export { type ConvertSettings, convertCheckpoint } from './modes/convert.js';
export { type FoundMode, findModes, readCheckpoint, weightsHash } from './modes/find.js';
export { type InspectSettings, inspectCheckpoint } from './modes/inspect.js';
export type { ModeMetadata, ModeSettings } from './modes/metadata.js';
export { type TrainedMode, type TrainModeSettings, trainMode } from './modes/train.js';
export type {
  ArchitectureInfo,
  ConvertResult,
  EpochEvent,
  Inspection,
  LogEvent,
  NativeInfo,
  Precision,
  ProgressEvent,
  TrainResult,
  TransformOptions,
  VerifyResult,
} from './native/contract.js';
export type { JobHooks } from './native/job.js';
export { type EvaluateHooks, evaluate } from './run/evaluate.js';
export {
  type ExtractedFeatures,
  type ExtractedMember,
  type ExtractSettings,
  extractFeatures,
  type FeatureSets,
  type StageHooks,
} from './run/extract.js';
export { readResults, type StoredResults } from './run/read-results.js';
export { type SkippedImages, writeResults, writeScores } from './run/results.js';
export { type RunHooks, type RunResult, runExperiment } from './run/run.js';
export {
  type CheckpointSettings,
  type CleanResult,
  evaluateClean,
  evaluateOod,
  type OodSettings,
} from './run/run-checkpoints.js';
export {
  type ExtractCheckpointsSettings,
  type ExtractedCheckpoints,
  type ExtractedFile,
  extractCheckpoints,
} from './run/run-extract.js';
export { type ReportFiles, reportRun, reportRuns } from './run/run-report.js';
export {
  type SweepArch,
  type SweepHooks,
  type SweepMode,
  type SweepResult,
  type SweepSettings,
  type SweepState,
  sweep,
} from './run/sweep.js';
export type { TrainDataSettings } from './run/train-sets.js';
export type { Failure } from './run/training-process.js';
export { type TuneResult, type TuneSettings, tuneMahalanobis } from './run/tune.js';
export type {
  AccuracyRow,
  Agreement,
  DetectorChoice,
  Evaluation,
  EvaluationInput,
  GainIntervals,
  MemberFeatures,
  ResultRow,
  Results,
  ScoreSet,
} from './run/types.js';
