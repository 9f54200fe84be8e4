import { ConfigError } from '../config/errors.js';
import { suggestion } from '../config/suggest.js';

/** More ensembles than this in one evaluation is taken for a mistake. */
const MOST = 100_000;

/** Joins member names in results.csv; no member's name may hold it. */
export const MEMBER_SEPARATOR = '+';

/** What stands under `members`. */
export function joinMembers(members: readonly string[]): string {
  return members.join(MEMBER_SEPARATOR);
}

/**
 * All subsets of a size, in lexicographic order of the members' places.
 *
 * @throws ConfigError where the size is not from 1 to the number of members, or there would be more than 100,000
 */
export function subsetsOfSize(names: readonly string[], size: number): string[][] {
  const n = names.length;
  if (!Number.isInteger(size) || size < 1 || size > n) {
    throw new ConfigError(`An ensemble of ${size} cannot be made of ${n} modes; expected a size from 1 to ${n}.`);
  }
  let count = 1;
  for (let i = 1; i <= size; i++) count = (count * (n - size + i)) / i;
  if (count > MOST) {
    throw new ConfigError(
      `There are ${Math.round(count)} ensembles of ${size} of ${n} modes; at most ${MOST} are evaluated.`,
    );
  }
  const places = Array.from({ length: size }, (_, i) => i);
  const subsets: string[][] = [];
  for (;;) {
    subsets.push(places.map((place) => names[place] as string));
    let i = size - 1;
    while (i >= 0 && places[i] === n - size + i) i--;
    if (i < 0) return subsets;
    places[i] = (places[i] as number) + 1;
    for (let j = i + 1; j < size; j++) places[j] = (places[j - 1] as number) + 1;
  }
}

/** All subsets of two members and more, the small ones first. @throws ConfigError where there would be more than 100,000 */
export function subsetsOfAllSizes(names: readonly string[]): string[][] {
  const count = 2 ** names.length - names.length - 1;
  if (count > MOST) {
    throw new ConfigError(`There are ${count} ensembles of ${names.length} modes; at most ${MOST} are evaluated.`);
  }
  const sizes = Array.from({ length: Math.max(0, names.length - 1) }, (_, i) => i + 2);
  return sizes.flatMap((size) => subsetsOfSize(names, size));
}

/**
 * One ensemble, given as a list of member names or as `a+b+c`, checked and put into the order of `names`, so that
 * `b+a` and `a+b` are one ensemble.
 *
 * @throws ConfigError on an unknown member (with the nearest name), one given twice, or fewer than two
 */
export function resolveSubset(given: string | readonly string[], names: readonly string[]): string[] {
  const wanted = typeof given === 'string' ? given.split(MEMBER_SEPARATOR).map((name) => name.trim()) : [...given];
  const shown = joinMembers(wanted);
  for (const [index, name] of wanted.entries()) {
    if (!names.includes(name)) {
      throw new ConfigError(`Ensemble ${shown}: there is no mode "${name}"; ${suggestion(name, names)}`);
    }
    if (wanted.indexOf(name) !== index) throw new ConfigError(`Ensemble ${shown}: mode ${name} is given twice.`);
  }
  if (wanted.length < 2)
    throw new ConfigError(`Ensemble ${shown}: expected at least two modes, found ${wanted.length}.`);
  return names.filter((name) => wanted.includes(name));
}

/** Several ensembles, each as resolveSubset takes it. @throws ConfigError, also where one is given twice */
export function resolveSubsets(given: readonly (string | readonly string[])[], names: readonly string[]): string[][] {
  const subsets = given.map((subset) => resolveSubset(subset, names));
  const seen = new Set<string>();
  for (const subset of subsets) {
    const text = joinMembers(subset);
    if (seen.has(text)) throw new ConfigError(`Ensemble ${text} is given twice.`);
    seen.add(text);
  }
  return subsets;
}
