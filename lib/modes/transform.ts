import { ConfigError } from '../config/errors.js';
import type { TransformSettings } from '../config/schema.js';
import type { TransformOptions } from '../native/contract.js';

/**
 * The preprocessing of an architecture or a checkpoint with what is asked for otherwise.
 *
 * @param where what the error begins with, for instance `experiment.yaml: transform`
 * @throws ConfigError for a crop that is larger than what it is cut from
 */
export function overrideTransform(
  base: TransformOptions,
  overrides: TransformSettings | undefined,
  where = 'transform',
): TransformOptions {
  const given = Object.fromEntries(Object.entries(overrides ?? {}).filter(([, value]) => value !== undefined));
  const transform: TransformOptions = { ...base, ...given };
  if (transform.crop > transform.resize) {
    const expected = `expected a crop of at most the resized ${transform.resize} pixels`;
    throw new ConfigError(`${where}: ${expected}, found ${transform.crop}`);
  }
  return transform;
}
