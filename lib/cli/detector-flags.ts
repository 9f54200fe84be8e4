/** The flags that choose detectors: `--detector msp,knn:k=10,knn:k=50` and `--k`. */
import { ConfigError } from '../config/errors.js';
import type { EvaluateSettings } from '../config/schema.js';
import { DETECTORS, parseLabel } from '../detectors/index.js';

type Choices = EvaluateSettings['detectors'];

/** Undefined where all are wanted. Names and parameters are looked up later. @throws ConfigError */
export function detectorsOf({ detector, k }: { detector?: string[]; k?: number }): Choices | undefined {
  if (detector === undefined && k === undefined) return undefined;
  const labels = detector ?? DETECTORS.map(({ name }) => name);
  if (labels.length === 0) throw new ConfigError('--detector: expected at least one detector, found nothing');
  const parsed = labels.map(parse);
  if (k !== undefined) {
    const all = parsed.filter(({ name }) => name.toLowerCase() === 'knn');
    if (all.length === 0) throw new ConfigError('--k: expected the detector knn with it, found none');
    const other = all.find(({ given }) => Object.hasOwn(given, 'k'));
    if (other) throw new ConfigError(`--k: expected knn without a k of its own, found knn:k=${other.given.k}`);
    for (const one of all) one.given = { ...one.given, k };
  }
  return parsed.map(({ name, given }) => (Object.keys(given).length === 0 ? name : { [name]: given }));
}

function parse(label: string): ReturnType<typeof parseLabel> {
  try {
    return parseLabel(label);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(`--detector: ${error.message}`, { cause: error });
  }
}
