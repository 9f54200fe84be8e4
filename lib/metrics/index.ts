export { type Accuracy, accuracy, accuracyOfRanks, labelRanks } from './accuracy.js';
export {
  CONVENTIONS,
  type Convention,
  type ConventionName,
  describeConvention,
  type MeasureOptions,
  type Measures,
  measure,
} from './conventions.js';
export { buildCurve, type Curve } from './curve.js';
export { type Summary, summarize } from './stats.js';
