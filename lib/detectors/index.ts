import { ConfigError } from '../config/errors.js';
import { suggestion } from '../config/suggest.js';
import type { Detector, Parameter } from './detector.js';
import { energy } from './energy.js';
import { knn } from './knn.js';
import { msp } from './msp.js';

export type { Detector, Needs, Parameter, ScoreContext, SetContext } from './detector.js';

/** Every detector, in the order of reports. A new one is a file and a row here. */
export const DETECTORS: readonly Detector[] = [msp, energy, knn];

/** By name, in any case. @throws ConfigError with the nearest name */
export function getDetector(name: string): Detector {
  const wanted = name.toLowerCase();
  const found = DETECTORS.find((detector) => detector.name === wanted);
  if (found) return found;
  const names = DETECTORS.map((detector) => detector.name);
  throw new ConfigError(`Unknown detector "${name}"; ${suggestion(name, names)}`);
}

/**
 * The detector's parameters with defaults filled in.
 *
 * @throws ConfigError on a parameter it does not have (with the nearest name) or a value out of bounds
 */
export function resolveParameters(
  detector: Detector,
  given: Readonly<Record<string, number>> = {},
): Record<string, number> {
  const known = Object.keys(detector.parameters);
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue;
    const hint = known.length > 0 ? suggestion(name, known) : 'it has none';
    throw new ConfigError(`Detector ${detector.name} has no parameter "${name}"; ${hint}`);
  }
  const entries = Object.entries(detector.parameters).map(([name, parameter]) => {
    const value = Object.hasOwn(given, name) ? given[name] : parameter.default;
    if (!keepsBounds(value, parameter)) {
      throw new ConfigError(`Detector ${detector.name}, ${name}: expected ${bounds(parameter)}, found ${value}.`);
    }
    return [name, value] as const;
  });
  return Object.fromEntries(entries);
}

function keepsBounds(value: unknown, { min, max, above, integer }: Parameter): value is number {
  return (
    typeof value === 'number' &&
    (integer ? Number.isSafeInteger(value) : Number.isFinite(value)) &&
    (min === undefined || value >= min) &&
    (max === undefined || value <= max) &&
    (above === undefined || value > above)
  );
}

function bounds({ min, max, above, integer }: Parameter): string {
  const parts = [
    min === undefined ? '' : `at least ${min}`,
    above === undefined ? '' : `above ${above}`,
    max === undefined ? '' : `at most ${max}`,
  ].filter((part) => part !== '');
  return [integer ? 'a whole number' : 'a number', parts.join(' and ')].filter((part) => part !== '').join(' ');
}
