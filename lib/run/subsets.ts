import { resolveSubsets } from '../ensemble/index.js';
import { archOf } from './check-spaces.js';

/** One mode or one ensemble. */
export interface Subset {
  kind: 'mode' | 'ensemble';
  members: string[];
  /** Places of the members among all modes. */
  places: number[];
  /** The members' architecture, or all that there are. */
  arch: string;
}

/**
 * Each mode alone, then the ensembles.
 *
 * @param modes all modes
 * @throws ConfigError as resolveSubsets
 */
export function makeSubsets(
  modes: readonly { name: string; arch: string }[],
  ensembles: readonly (readonly string[])[],
): Subset[] {
  const names = modes.map(({ name }) => name);
  const make = (kind: Subset['kind'], members: string[]): Subset => {
    const places = members.map((member) => names.indexOf(member));
    return { kind, members, places, arch: archOf(places.flatMap((place) => modes[place] ?? [])) };
  };
  return [
    ...names.map((name) => make('mode', [name])),
    ...resolveSubsets(ensembles, names).map((members) => make('ensemble', members)),
  ];
}
