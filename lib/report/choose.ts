import { ConfigError } from '../config/errors.js';
import { suggestion } from '../config/suggest.js';
import { parseLabel } from '../detectors/labels.js';
import { MEASURE_NAMES, type MeasureName } from '../metrics/index.js';
import type { Results } from '../run/types.js';

export interface Choice {
  /** Labels such as `knn:k=10`, or names, which stand for all labels of that detector; default: all. */
  detectors?: readonly string[] | undefined;
  /** Names of OoD sets; default: all. */
  sets?: readonly string[] | undefined;
}

/** The results of some detectors and OoD sets alone. @throws ConfigError that suggests the nearest name */
export function chooseResults<Given extends Results>(results: Given, { detectors, sets }: Choice): Given {
  const labels = [...new Set(results.rows.map(({ detector }) => detector))];
  const wanted = detectors?.flatMap((name) => {
    const lower = name.toLowerCase();
    const found = labels.filter((label) => label === lower || parseLabel(label).name === lower);
    if (found.length > 0) return found;
    throw new ConfigError(`The run has no detector "${name}"; ${suggestion(name, labels)}`);
  });
  const out = sets?.map((name) => {
    const found = results.out.find((set) => set === name) ?? results.out.find((set) => same(set, name));
    if (found !== undefined) return found;
    throw new ConfigError(`The run has no OoD set "${name}"; ${suggestion(name, results.out)}`);
  });
  const isKept = (one: { detector: string; out: string }) =>
    (wanted?.includes(one.detector) ?? true) && (out?.includes(one.out) ?? true);
  return {
    ...results,
    out: results.out.filter((set) => out?.includes(set) ?? true),
    detectors: results.detectors.filter(({ name, label }) => wanted?.includes(label ?? name) ?? true),
    rows: results.rows.filter(isKept),
    ...(results.gains ? { gains: results.gains.filter(isKept) } : {}),
  };
}

/** `fpr95`, `AUPR-in`, `all`. @throws ConfigError that suggests the nearest name */
export function chooseMetrics(names: readonly string[]): MeasureName[] {
  return names.flatMap((name) => {
    const wanted = name.toLowerCase().replaceAll('-', '_');
    if (wanted === 'all') return [...MEASURE_NAMES];
    const found = MEASURE_NAMES.find((known) => known === wanted);
    if (found) return [found];
    throw new ConfigError(`Unknown metric "${name}"; ${suggestion(wanted, [...MEASURE_NAMES, 'all'])}`);
  });
}

function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}
