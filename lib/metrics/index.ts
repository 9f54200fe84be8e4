export {
  type Accuracy,
  accuracy,
  accuracyOf,
  labelPlaces,
  type ResampledAccuracy,
  resampleAccuracy,
} from './accuracy.js';
export { agreementOf } from './agreement.js';
export {
  BETTER,
  CONVENTION_NAMES,
  CONVENTIONS,
  type Convention,
  type ConventionName,
  describeConvention,
  MEASURE_NAMES,
  type MeasureName,
  type MeasureOptions,
  type Measures,
  measure,
} from './conventions.js';
export { buildCurve, type Counts, type Curve } from './curve.js';
export {
  measureIntervals,
  PairResampling,
  type ResampledMeasures,
  type ResampleOptions,
  recordOf,
} from './intervals.js';
export {
  DEFAULT_INTERVALS,
  type Gain,
  type Interval,
  type IntervalSettings,
  pairedGain,
  percentileInterval,
  Resampler,
} from './resampler.js';
export { type Summary, summarize } from './stats.js';
