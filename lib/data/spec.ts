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
}

export type Split = 'train' | 'test';

/** One row a reader. */
const READERS: Record<ReaderName, { example: string }> = {
  cifar10: { example: 'cifar10:DIR' },
  folder: { example: 'folder:DIR' },
  builtin: { example: 'builtin:shapes' },
};

const SPLITS: readonly string[] = ['train', 'test'] satisfies Split[];
const FORM = '[NAME=]READER:PATH[?split=test]';
// Names become file names (scores) and columns of tables.
const NAME = /^[\p{L}\p{N}](?:[\p{L}\p{N} ._+-]*[\p{L}\p{N}_+-])?$/u;

/**
 * Takes a data set's name apart. A path may hold `=`, `:` and `?`; only what stands before the first colon is a name
 * and a reader, and only a last `?key=value` is a query.
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
    const examples = Object.values(READERS).map(({ example }) => example);
    throw new ConfigError(`${where}: expected ${FORM}, for instance ${examples.join(' or ')}, found "${text}"`);
  }
  if (!isReader(reader)) {
    throw new ConfigError(
      `${where}: unknown reader "${reader}" in "${text}"; ${suggestion(reader, Object.keys(READERS))}`,
    );
  }
  const { path, split } = parseQuery(text.slice(colon + 1), text, where);
  if (path === '') throw new ConfigError(`${where}: expected a path after "${reader}:", found "${text}"`);
  const given = equals < 0 ? undefined : head.slice(0, equals).trim();
  const name = given ?? lastComponent(path);
  if (!NAME.test(name)) {
    const advice = given === undefined ? `; give it one, for instance Set=${text}` : '';
    const expected = 'expected a name of letters, digits, spaces, ".", "_", "+" and "-"';
    throw new ConfigError(`${where}: ${expected} in "${text}", found "${name}"${advice}`);
  }
  return { name, reader, path, split };
}

/**
 * The OoD sets of an experiment. Scores and tables are keyed by the sets' names, so these must differ (also on file
 * systems that ignore case) from each other and from the in-distribution set's.
 *
 * @param texts each with the flag or field that errors name
 * @throws ConfigError
 */
export function parseOutSpecs(texts: readonly { text: string; where: string }[], inSpec: DataSpec): DataSpec[] {
  const taken = new Map([[inSpec.name.toLowerCase(), 'the in-distribution set']]);
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
  return `${spec.reader}:${spec.path}${spec.split === undefined ? '' : `?split=${spec.split}`}`;
}

function isReader(text: string): text is ReaderName {
  return Object.hasOwn(READERS, text);
}

function parseQuery(rest: string, text: string, where: string): { path: string; split: Split | undefined } {
  const mark = rest.lastIndexOf('?');
  const query = /^([^=/\\]*)=([^/\\]*)$/.exec(rest.slice(mark + 1));
  if (mark < 0 || !query) return { path: rest, split: undefined };
  const [, key = '', value = ''] = query;
  if (key !== 'split') {
    throw new ConfigError(`${where}: unknown key "${key}" in "${text}"; expected ?split=train or ?split=test`);
  }
  if (!SPLITS.includes(value)) {
    throw new ConfigError(`${where}: expected ?split=train or ?split=test in "${text}", found "${value}"`);
  }
  return { path: rest.slice(0, mark), split: value as Split };
}

function lastComponent(path: string): string {
  return (
    path
      .split(/[/\\]/)
      .filter((part) => part !== '' && part !== '.')
      .at(-1) ?? ''
  );
}
