import { ConfigError } from '../config/errors.js';
import { suggestion } from '../config/suggest.js';
import type { PassOptions } from '../native/contract.js';

/** What is made of each image and a mode, and stored in a feature file of its own; see PassOptions. */
export type Pass = Readonly<PassOptions>;

/** Logits, stages and penultimate feature of the image as it is. */
export const PLAIN: Pass = { kind: 'plain', temperature: 1, magnitude: 0, gradient: 'own' };

/** Logits after the rank-1 parts of the last stages were taken away. */
export const RANK1: Pass = { kind: 'rank1', temperature: 1, magnitude: 0, gradient: 'own' };

/** Logits of the image after a step against the gradient; without a step it is the plain pass. */
export function perturbed(temperature: number, magnitude: number, gradient: Pass['gradient'] = 'own'): Pass {
  return magnitude === 0 ? PLAIN : { kind: 'perturbed', temperature, magnitude, gradient };
}

/** Equal for equal passes; names a pass's file among those of a mode and a set. */
export function passId({ kind, temperature, magnitude, gradient }: Pass): string {
  return kind === 'perturbed' ? `${kind} ${temperature} ${magnitude} ${gradient}` : kind;
}

/** One of each. */
export function distinctPasses(passes: readonly Pass[]): Pass[] {
  return [...new Map(passes.map((pass) => [passId(pass), pass])).values()];
}

/** As parsePass reads it: `plain`, `rank1`, `perturbed:temperature=1000:magnitude=0.0014`. */
export function formatPass({ kind, temperature, magnitude, gradient }: Pass): string {
  if (kind !== 'perturbed') return kind;
  const numbers = `${kind}:temperature=${temperature}:magnitude=${magnitude}`;
  return gradient === 'own' ? numbers : `${numbers}:gradient=${gradient}`;
}

/** passId's text as formatPass would have it; other texts as they are. */
export function formatPassId(id: string): string {
  const [kind, temperature, magnitude, gradient, ...rest] = id.split(' ');
  if (kind !== 'perturbed' || rest.length > 0 || (gradient !== 'own' && gradient !== 'accumulated')) return id;
  return formatPass({ kind, temperature: Number(temperature), magnitude: Number(magnitude), gradient });
}

const KINDS = ['plain', 'rank1', 'perturbed'];
const FIELDS = ['temperature', 'magnitude', 'gradient'];

/**
 * A pass as it is written on the command line.
 *
 * @param where the flag that errors name
 * @throws ConfigError
 */
export function parsePass(text: string, where: string): Pass {
  const [kind = '', ...parts] = text.split(':').map((part) => part.trim());
  if (!KINDS.includes(kind)) throw new ConfigError(`${where}: unknown pass "${kind}"; ${suggestion(kind, KINDS)}`);
  const values = new Map(parts.map((part) => [part.split('=')[0]?.trim() ?? '', part.slice(part.indexOf('=') + 1)]));
  for (const field of values.keys()) {
    const known = kind === 'perturbed' ? suggestion(field, FIELDS) : 'it has none';
    if (kind !== 'perturbed' || !FIELDS.includes(field)) {
      throw new ConfigError(`${where}: the pass ${kind} has no field "${field}"; ${known}`);
    }
  }
  if (kind === 'plain') return PLAIN;
  if (kind === 'rank1') return RANK1;
  const { temperature = '1', magnitude, gradient = 'own' } = Object.fromEntries(values);
  const number = (field: string, value: string | undefined, from: number, expected: string) => {
    const found = value?.trim() ? Number(value) : Number.NaN;
    if (Number.isFinite(found) && found >= from) return found;
    throw new ConfigError(`${where}: ${field}: expected ${expected}, found ${value ?? 'nothing'}`);
  };
  if (gradient !== 'own' && gradient !== 'accumulated') {
    throw new ConfigError(`${where}: gradient: expected own or accumulated, found ${gradient}`);
  }
  return perturbed(
    number('temperature', temperature, Number.MIN_VALUE, 'a number above 0'),
    number('magnitude', magnitude, 0, 'a number of at least 0'),
    gradient,
  );
}
