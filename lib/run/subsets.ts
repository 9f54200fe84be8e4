import { resolveSubsets } from '../ensemble/index.js';

/** One mode or one ensemble. */
export interface Subset {
  kind: 'mode' | 'ensemble';
  members: string[];
  /** Places of the members among all modes. */
  places: number[];
}

/**
 * Each mode alone, then the ensembles.
 *
 * @param names of all modes
 * @throws ConfigError as resolveSubsets
 */
export function makeSubsets(names: readonly string[], ensembles: readonly (readonly string[])[]): Subset[] {
  const make = (kind: Subset['kind'], members: string[]): Subset => ({
    kind,
    members,
    places: members.map((member) => names.indexOf(member)),
  });
  return [
    ...names.map((name) => make('mode', [name])),
    ...resolveSubsets(ensembles, names).map((members) => make('ensemble', members)),
  ];
}
