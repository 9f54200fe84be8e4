import { ConfigError } from '../config/errors.js';
import { suggestion } from '../config/suggest.js';
import type { ReaderName } from '../native/contract.js';

/** A data set's name on the command line and in experiment files, `[NAME=]READER:PATH[?split=test]`, taken apart. */
export interface DataSpec {
  /** What results call the set. */
  name: string;
  reader: ReaderName;
  /** File or folder, as written; for `builtin` the name of the built-in set. */
  path: string;
  /** The `split` that was written, or undefined. */
  split: Split | undefined;
  /** The `labels` that were written: which ones, or the file that holds them. */
  labels: string | undefined;
  /** The `root` that was written: the folder that the paths in a list are relative to. */
  root: string | undefined;
}

export type Split = 'train' | 'test' | 'extra';

type Key = 'split' | 'labels' | 'root';

export interface ReaderRow {
  example: string;
  /** The parts that can be asked for; none where a set is taken whole. */
  splits: readonly Split[];
  /** The part that is taken for evaluation where none is asked for; '' for the whole set. */
  split: Split | '';
  /** What may stand behind the question mark. */
  keys: readonly Key[];
  /** The labels that can be asked for by name, where they are no file. */
  labels?: readonly string[];
  /** Drawn here: what follows the colon is no file. */
  isDrawn?: true;
}

/** One row a reader. */
export const READERS: Readonly<Record<ReaderName, ReaderRow>> = {
  cifar10: { example: 'cifar10:DIR', splits: ['train', 'test'], split: 'test', keys: ['split'] },
  cifar100: {
    example: 'cifar100:DIR?labels=coarse',
    splits: ['train', 'test'],
    split: 'test',
    keys: ['split', 'labels'],
    labels: ['fine', 'coarse'],
  },
  svhn: { example: 'svhn:DIR', splits: ['train', 'test', 'extra'], split: 'test', keys: ['split'] },
  imagenet: { example: 'imagenet:DIR', splits: ['train', 'test'], split: 'test', keys: ['split'] },
  folder: { example: 'folder:DIR', splits: ['train', 'test'], split: '', keys: ['split'] },
  list: { example: 'list:FILE.csv?root=DIR', splits: [], split: '', keys: ['root'] },
  tar: { example: 'tar:FILE.tar', splits: ['train', 'test'], split: '', keys: ['split'] },
  npy: { example: 'npy:FILE.npy?labels=LABELS.npy', splits: [], split: '', keys: ['labels'] },
  'made-up': {
    example: 'made-up:SIDE/CLASSES/IMAGES',
    splits: ['train', 'test'],
    split: 'test',
    keys: ['split'],
    isDrawn: true,
  },
  builtin: { example: 'builtin:shapes', splits: ['train', 'test'], split: '', keys: ['split'], isDrawn: true },
};

const KEYS: readonly string[] = ['split', 'labels', 'root'] satisfies Key[];
/** Keys whose values are paths. */
const PATH_KEYS: readonly string[] = ['labels', 'root'] satisfies Key[];
const FORM = '[NAME=]READER:PATH[?split=test]';
// Names become file names (scores) and columns of tables.
const NAME = /^[\p{L}\p{N}](?:[\p{L}\p{N} ._+-]*[\p{L}\p{N}_+-])?$/u;

/**
 * Takes a data set's name apart. A path may hold `=`, `:` and `?`; only what stands before the first colon is a name
 * and a reader, and only a last `?key=value&key=value` is a query.
 *
 * @param where the flag or field that errors name
 * @throws ConfigError
 */
export function parseDataSpec(text: string, where: string): DataSpec {
  const colon = text.indexOf(':');
  const head = colon < 0 ? '' : text.slice(0, colon);
  const equals = head.indexOf('=');
  const reader = head.slice(equals + 1).trim();
  if (reader === '') {
    const readers = `READER one of ${Object.keys(READERS).join(', ')}`;
    throw new ConfigError(`${where}: expected ${FORM} with ${readers}, for instance cifar10:DIR, found "${text}"`);
  }
  if (!isReader(reader)) {
    throw new ConfigError(
      `${where}: unknown reader "${reader}" in "${text}"; ${suggestion(reader, Object.keys(READERS))}`,
    );
  }
  const { path, query } = splitQuery(text.slice(colon + 1));
  if (path === '') throw new ConfigError(`${where}: expected a path after "${reader}:", found "${text}"`);
  const values = checkQuery(query, reader, text, where);
  const given = equals < 0 ? undefined : head.slice(0, equals).trim();
  const name = given ?? lastComponent(path);
  if (!NAME.test(name)) {
    const advice = given === undefined ? `; give it one, for instance Set=${text}` : '';
    const expected = 'expected a name of letters, digits, spaces, ".", "_", "+" and "-"';
    throw new ConfigError(`${where}: ${expected} in "${text}", found "${name}"${advice}`);
  }
  const { split, labels, root } = values;
  return { name, reader, path, split: split as Split | undefined, labels, root };
}

/** A spec that stands beside others, with the flag or field that errors name. */
export interface PlacedSpec {
  spec: DataSpec;
  where: string;
}

/**
 * The OoD sets of an experiment. Scores and tables are keyed by the sets' names, so these must differ (also on file
 * systems that ignore case) from each other and from the in-distribution set's.
 *
 * @param texts each with the flag or field that errors name
 * @param before sets that are there already
 * @throws ConfigError
 */
export function parseOutSpecs(
  texts: readonly { text: string; where: string }[],
  inSpec: DataSpec,
  before: readonly PlacedSpec[] = [],
): DataSpec[] {
  const taken = new Map([[inSpec.name.toLowerCase(), 'the in-distribution set']]);
  for (const { spec, where } of before) taken.set(spec.name.toLowerCase(), where);
  return texts.map(({ text, where }) => {
    const spec = parseDataSpec(text, where);
    const other = taken.get(spec.name.toLowerCase());
    if (other !== undefined) {
      const advice = `give one of them another, for instance ${spec.name}-2=${formatDataSpec(spec)}`;
      throw new ConfigError(`${where}: the name "${spec.name}" already belongs to ${other}; ${advice}`);
    }
    taken.set(spec.name.toLowerCase(), where);
    return spec;
  });
}

/** The spec as it would be written, without its name. */
export function formatDataSpec(spec: DataSpec): string {
  const query = (['split', 'labels', 'root'] as const)
    .filter((key) => spec[key] !== undefined)
    .map((key) => `${key}=${spec[key]}`);
  return `${spec.reader}:${spec.path}${query.length > 0 ? `?${query.join('&')}` : ''}`;
}

function isReader(text: string): text is ReaderName {
  return Object.hasOwn(READERS, text);
}

type Query = [key: string, value: string][];

/** The last question mark behind which every piece is `key=value` begins the query; values of path keys may be paths. */
function splitQuery(rest: string): { path: string; query: Query } {
  for (let mark = rest.lastIndexOf('?'); mark >= 0; mark = mark > 0 ? rest.lastIndexOf('?', mark - 1) : -1) {
    const query = parseQuery(rest.slice(mark + 1));
    if (query) return { path: rest.slice(0, mark), query };
  }
  return { path: rest, query: [] };
}

function parseQuery(text: string): Query | undefined {
  const query: Query = [];
  // An ampersand may be part of a path: it parts two keys only before another `key=`.
  for (const piece of text.split(/&(?=[^=&/\\]*=)/)) {
    const [, key, value] = /^([^=/\\]*)=([^]*)$/.exec(piece) ?? [];
    if (key === undefined || value === undefined) return undefined;
    if (!PATH_KEYS.includes(key) && /[/\\]/.test(value)) return undefined;
    query.push([key, value]);
  }
  return query;
}

function checkQuery(query: Query, reader: ReaderName, text: string, where: string): Partial<Record<Key, string>> {
  const row = READERS[reader];
  const values: Partial<Record<Key, string>> = {};
  for (const [key, value] of query) {
    if (!isOneOf(row.keys, key)) {
      const fault = KEYS.includes(key) ? `the reader ${reader} takes no "${key}"` : `unknown key "${key}"`;
      throw new ConfigError(`${where}: ${fault} in "${text}"; ${suggestion(key, row.keys)}`);
    }
    if (values[key] !== undefined) throw new ConfigError(`${where}: "${key}" is given twice in "${text}"`);
    const known: readonly string[] | undefined =
      key === 'split' ? row.splits : key === 'labels' ? row.labels : undefined;
    if (known ? !known.includes(value) : value === '') {
      const expected = known ? listed(known.map((one) => `?${key}=${one}`)) : `a path after ?${key}=`;
      throw new ConfigError(`${where}: expected ${expected} in "${text}", found "${value}"`);
    }
    values[key] = value;
  }
  return values;
}

function isOneOf(keys: readonly Key[], key: string): key is Key {
  return (keys as readonly string[]).includes(key);
}

/** `a, b or c`. */
function listed(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

function lastComponent(path: string): string {
  return (
    path
      .split(/[/\\]/)
      .filter((part) => part !== '' && part !== '.')
      .at(-1) ?? ''
  );
}
