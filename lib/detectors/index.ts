import { ConfigError } from '../config/errors.js';
import { suggestion } from '../config/suggest.js';
import type { Detector, Parameter, Parameters, ParameterValue } from './detector.js';
import { energy } from './energy.js';
import { gradnorm } from './gradnorm.js';
import { knn } from './knn.js';
import { parseLabel } from './labels.js';
import { msp } from './msp.js';
import { odin } from './odin.js';
import { rankfeat } from './rankfeat.js';

export type {
  Detector,
  Needs,
  Parameter,
  Parameters,
  ParameterValue,
  RowBlock,
  RowDetector,
  ScoreContext,
  Services,
  SetContext,
  SetDetector,
} from './detector.js';

export { labelOf, parseLabel } from './labels.js';

/** Every detector, in the order of reports. A new one is a file and a row here. */
export const DETECTORS: readonly Detector[] = [msp, odin, energy, gradnorm, rankfeat, knn];

/** By name, in any case. @throws ConfigError with the nearest name */
export function getDetector(name: string): Detector {
  const wanted = name.toLowerCase();
  const found = DETECTORS.find((detector) => detector.name === wanted);
  if (found) return found;
  const names = DETECTORS.map((detector) => detector.name);
  throw new ConfigError(`Unknown detector "${name}"; ${suggestion(name, names)}`);
}

/** The detector that a label such as `knn:k=10` names. @throws ConfigError with the nearest name */
export function detectorOf(label: string): Detector {
  return getDetector(parseLabel(label).name);
}

/** A label for people: `kNN`, or `kNN (k=10)`. @throws ConfigError */
export function titleOf(label: string): string {
  const parts = Object.entries(parseLabel(label).given).map(([parameter, value]) => `${parameter}=${value}`);
  const { title } = detectorOf(label);
  return parts.length === 0 ? title : `${title} (${parts.join(', ')})`;
}

/**
 * The detector's parameters with defaults filled in.
 *
 * @param suite the suite whose defaults are taken where it has its own
 * @throws ConfigError on a parameter it does not have (with the nearest name) or a value that it cannot have
 */
export function resolveParameters(detector: Detector, given: Parameters = {}, suite = ''): Parameters {
  const known = Object.keys(detector.parameters);
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue;
    const hint = known.length > 0 ? suggestion(name, known) : 'it has none';
    throw new ConfigError(`Detector ${detector.name} has no parameter "${name}"; ${hint}`);
  }
  const entries = Object.entries(detector.parameters).map(([name, parameter]) => {
    const value = Object.hasOwn(given, name) ? given[name] : (parameter.suites?.[suite] ?? parameter.default);
    const problem = problemOf(value, parameter);
    if (problem !== undefined) {
      throw new ConfigError(`Detector ${detector.name}, ${name}: expected ${problem}, found ${value}.`);
    }
    return [name, value as ParameterValue] as const;
  });
  return Object.fromEntries(entries);
}

/** What was expected, where the value is not that. */
function problemOf(value: unknown, parameter: Parameter): string | undefined {
  if ('choices' in parameter) {
    return parameter.choices.includes(value as string) ? undefined : parameter.choices.join(' or ');
  }
  const { min, max, above, integer } = parameter;
  const isRight =
    typeof value === 'number' &&
    (integer ? Number.isSafeInteger(value) : Number.isFinite(value)) &&
    (min === undefined || value >= min) &&
    (max === undefined || value <= max) &&
    (above === undefined || value > above);
  if (isRight) return undefined;
  const parts = [
    min === undefined ? '' : `at least ${min}`,
    above === undefined ? '' : `above ${above}`,
    max === undefined ? '' : `at most ${max}`,
  ].filter((part) => part !== '');
  return [integer ? 'a whole number' : 'a number', parts.join(' and ')].filter((part) => part !== '').join(' ');
}
