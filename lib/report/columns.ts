import { MEMBER_SEPARATOR } from '../ensemble/index.js';
import type { ResultRow, Results } from '../run/types.js';

/** Column of one ensemble each up to here; with more, the largest alone and a table by size. */
export const MOST_ENSEMBLES = 3;

/** The modes and ensembles that have a column of their own. */
export interface Columns {
  modes: string[];
  ensembles: string[];
  /** Number of all ensembles. */
  all: number;
  /** The only ensemble shown is also the only one of its size, so that its size names it. */
  isOnly: boolean;
}

export function columnsOf({ rows }: Pick<Results, 'rows'>, largest: string | undefined): Columns {
  const of = (wanted: ResultRow['kind']) => [
    ...new Set(rows.filter(({ kind }) => kind === wanted).map(({ members }) => members)),
  ];
  const [modes, ensembles] = [of('mode'), of('ensemble')];
  const shown = ensembles.length <= MOST_ENSEMBLES ? ensembles : ensembles.filter((members) => members === largest);
  const ofSize = ensembles.filter((members) => sizeOf(members) === sizeOf(shown[0] ?? ''));
  const isOnly = shown.length === 1 && ofSize.length === 1;
  return { modes, ensembles: shown, all: ensembles.length, isOnly };
}

export function ensembleTitle(members: string, { isOnly }: Pick<Columns, 'isOnly'>): string {
  return isOnly ? `ensemble of ${sizeOf(members)}` : `ensemble ${members}`;
}

export function sizeOf(members: string): number {
  return members.split(MEMBER_SEPARATOR).length;
}
