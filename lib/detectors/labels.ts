/** Names of detectors with parameters, as on the command line and in results: `knn:k=10`. */
import { ConfigError } from '../config/errors.js';
import type { Parameters, ParameterValue } from './detector.js';

/** Tells two choices of one detector apart by what was asked for: `knn:k=10`. */
export function labelOf(name: string, given: Parameters): string {
  const parts = Object.entries(given).map(([parameter, value]) => `${parameter}=${value}`);
  return [name, ...parts].join(':');
}

/**
 * Reads `name[:parameter=value[:parameter=value …]]`. What is a number becomes one; names and values are not looked up.
 *
 * @throws ConfigError
 */
export function parseLabel(label: string): { name: string; given: Parameters } {
  const [name = '', ...parts] = label.split(':').map((part) => part.trim());
  const given: Record<string, ParameterValue> = {};
  if (name === '') throw new ConfigError(`expected NAME or NAME:parameter=value, found "${label}"`);
  for (const part of parts) {
    const [, parameter = '', value = ''] = /^([^=]+)=(.+)$/.exec(part) ?? [];
    const key = parameter.trim();
    if (key === '') throw new ConfigError(`expected ${name}:parameter=value, found "${label}"`);
    if (Object.hasOwn(given, key)) throw new ConfigError(`parameter ${key} is given twice in "${label}"`);
    given[key] = Number.isFinite(Number(value)) ? Number(value) : value.trim();
  }
  return { name, given };
}
