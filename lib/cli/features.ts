import { join } from 'node:path';
import type { Command } from 'commander';
import { ConfigError } from '../config/errors.js';
import {
  chooseStored,
  listStored,
  removeStored,
  requireStore,
  type StoredFile,
  type StoredState,
  type StoredVerdict,
  verifyStored,
  wholeKey,
} from '../features/index.js';
import { type RunNames, readRunNames } from '../run/run-names.js';
import type { CommandContext } from './context.js';
import { DEFAULT_FEATURES } from './evaluation.js';
import { formatTable, size } from './table.js';

interface Flags {
  features?: string;
  run?: string;
  json?: true;
}

interface RemoveFlags extends Flags {
  stale?: true;
  unused?: true;
  all?: true;
  olderThan?: number;
  dryRun?: true;
}

/** Digits of a key or a hash that are shown; a longer beginning than people need to tell files apart. */
const DIGITS = 10;

export function addFeatures(program: Command, context: CommandContext): void {
  const command = program
    .command('features')
    .summary('the feature store: what is there, is it whole, remove it')
    .description(
      'Extracted features are kept by the content they were made of, so that nothing is extracted twice. These commands ' +
        'list them, read them fully and remove them.',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble features ls --run runs/builtin
  $ mode-ensemble features verify
  $ mode-ensemble features rm --stale --older-than 30d`,
    );
  addFolder(command.command('ls').summary('what is there, for which mode and data set, and in which state'))
    .description(
      'Lists the files of a feature store. Modes and data sets have names where the store belongs to a run; else a mode ' +
        'is the beginning of the SHA-256 of its checkpoint, a data set its reader and the beginning of its fingerprint.',
    )
    .addHelpText(
      'after',
      `
States: whole; outdated (made by another version of the extractor), foreign (holds other features than its name says) and
damaged files are never used and are made again; alone (its feature file is not there); writing (a temporary file that may
be being written); leftover (a temporary file of a process that was killed); unknown (none of ours, never touched).

Examples:
  $ mode-ensemble features ls
  $ mode-ensemble features ls --run runs/builtin --json`,
    )
    .action((flags: Flags) => list(flags, context));
  addFolder(command.command('rm').summary('remove files by key, age or state'))
    .description(
      'Removes files of a feature store; what is needed later is extracted again. Only our own files are removed, and none ' +
        'that may be being written.',
    )
    .argument('[key...]', 'keys, or their beginnings')
    .option('--stale', 'what can never be used: damaged, outdated, foreign, alone, leftover')
    .option('--unused', "what is of no mode and data set of the store's run, as its experiment.json lists them")
    .option('--older-than <age>', 'what was written longer ago, for instance 30d or 12h; narrows the others', parseAge)
    .option('--all', 'everything')
    .option('--dry-run', 'only say what would be removed')
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble features rm 3f2a9c1d
  $ mode-ensemble features rm --stale
  $ mode-ensemble features rm --unused --run runs/builtin --dry-run`,
    )
    .action((keys: string[], flags: RemoveFlags) => remove(keys, flags, context));
  addFolder(command.command('verify').summary('read every number, and list what is bad'))
    .description(
      'Reads the files of a feature store fully: header, sizes and rows; that name, key and content agree; that numbers ' +
        'are finite, labels are no negative numbers, and predictions are the largest logits. Exits 1 where anything is bad.',
    )
    .argument('[key...]', 'keys, or their beginnings (default: all)')
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble features verify
  $ mode-ensemble features verify 3f2a9c1d --run runs/builtin --json`,
    )
    .action((keys: string[], flags: Flags) => verify(keys, flags, context));
}

function addFolder(command: Command): Command {
  return command
    .option('--features <dir>', `the feature store (default: "${DEFAULT_FEATURES}")`)
    .option('--run <dir>', 'the feature store of this run')
    .option('--json', 'print as JSON');
}

/** The store's folder, its files, and what the run that it belongs to calls things. */
async function openStore({ features, run }: Flags) {
  if (features !== undefined && run !== undefined) {
    throw new ConfigError('--run: expected either --run or --features, found both');
  }
  const folder = run === undefined ? (features ?? DEFAULT_FEATURES) : join(run, 'features');
  const files = await listStored(folder);
  requireStore(folder, files);
  return { folder, files, names: await readRunNames(join(folder, '..')) };
}

const UNITS: Readonly<Record<string, number>> = { m: 60e3, h: 3600e3, d: 86_400e3, w: 7 * 86_400e3 };

/** `30d` in milliseconds. */
export function parseAge(text: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)\s*([a-z])$/.exec(text.trim()) ?? [];
  const factor = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined;
  if (number !== undefined && factor !== undefined) return Number(number) * factor;
  throw new ConfigError(`--older-than: expected an age such as 30m, 12h, 30d or 4w, found "${text}"`);
}

async function list(flags: Flags, context: CommandContext): Promise<void> {
  const { folder, files, names } = await openStore(flags);
  if (flags.json) context.printJson({ folder, files: files.map((file) => withNames(file, names)) });
  else context.print(formatStored(folder, files, names));
}

async function remove(keys: string[], flags: RemoveFlags, context: CommandContext): Promise<void> {
  const { stale, unused, all, olderThan, dryRun } = flags;
  const wishes = [keys.length > 0, stale, unused, all].filter(Boolean).length;
  if (wishes > 1)
    throw new ConfigError('features rm: expected one of keys, --stale, --unused and --all, found several');
  if (wishes === 0 && olderThan === undefined) {
    throw new ConfigError('features rm: expected keys, --stale, --unused, --older-than or --all, found nothing');
  }
  const { folder, files, names } = await openStore(flags);
  if (unused && !names) {
    const found = `found no experiment.json beside ${folder} that lists modes and data sets`;
    throw new ConfigError(`--unused: expected the feature store of a run, ${found}`);
  }
  const unusedBy = unused ? names : undefined;
  const chosen = chooseStored(files, { keys, stale, all, unusedBy, olderThan });
  const removed = dryRun ? chosen : await removeStored(chosen);
  if (flags.json) {
    context.printJson({ folder, isDryRun: dryRun === true, removed: removed.map((file) => withNames(file, names)) });
    return;
  }
  const bytes = size(removed.reduce((sum, file) => sum + file.bytes, 0));
  const table = removed.length === 0 ? '' : `${storedTable(removed, names)}\n\n`;
  const verb = dryRun ? 'would be removed' : 'removed';
  const left = files.filter(({ state }) => state === 'writing').length;
  const writing =
    all && left > 0 ? ` ${plural(left, 'file')} may be being written and ${left > 1 ? 'stay' : 'stays'}.` : '';
  context.print(`${table}${plural(removed.length, 'file')}, ${bytes}, ${verb}.${writing}`);
}

async function verify(keys: readonly string[], flags: Flags, context: CommandContext): Promise<void> {
  const { folder, files, names } = await openStore(flags);
  const wanted = new Set(keys.map((text) => wholeKey(text, files)));
  const asked = wanted.size === 0 ? files : files.filter(({ key }) => key !== null && wanted.has(key));
  context.hooks.onStage(`verify ${folder}`);
  const verdicts = await verifyStored(asked, context.hooks);
  const bad = verdicts.filter(({ faults }) => faults.length > 0);
  if (flags.json) {
    const about = verdicts.map(({ file, faults }) => ({
      ...withNames(file, names),
      isGood: faults.length === 0,
      faults,
    }));
    context.printJson({ folder, files: about });
  } else {
    context.print(formatVerdicts(folder, verdicts));
  }
  if (bad.length > 0) process.exitCode = 1;
}

/** What is bad, a sentence each, and a summary. */
export function formatVerdicts(folder: string, verdicts: readonly StoredVerdict[]): string {
  const faults = verdicts.flatMap((verdict) => verdict.faults);
  const bytes = size(verdicts.reduce((sum, { file }) => sum + file.bytes, 0));
  const bad = verdicts.filter((verdict) => verdict.faults.length > 0).length;
  const what = `${plural(verdicts.length, 'file')}, ${bytes}, in ${folder}`;
  return [...faults.map(printable), `${what}: ${bad === 0 ? 'nothing is bad' : `${bad} bad`}.`].join('\n');
}

/** A row a file, what is wrong with those that are not whole, and sums. */
export function formatStored(
  folder: string,
  files: readonly StoredFile[],
  names: RunNames | undefined,
  now = Date.now(),
): string {
  if (files.length === 0) return `${folder} is empty.`;
  const reasons = files.flatMap(({ reason }) => (reason === undefined ? [] : [printable(reason)]));
  const count = (state: StoredState) => files.filter((file) => file.state === state).length;
  const states = [...new Set(files.map(({ state }) => state))].map((state) => `${count(state)} ${state}`);
  const bytes = size(files.reduce((sum, file) => sum + file.bytes, 0));
  const sums = `${plural(files.length, 'file')}, ${bytes}, in ${folder}: ${states.join(', ')}.`;
  const isStale = chooseStored(files, { stale: true }).length > 0;
  const advice = isStale ? ' mode-ensemble features rm --stale removes what can never be used.' : '';
  const parts = [storedTable(files, names, now), reasons.join('\n'), `${sums}${advice}`];
  return parts.filter((part) => part !== '').join('\n\n');
}

interface Column {
  title: string;
  isNumber?: true;
  /** The column is left out where all files have this. */
  usual?: string;
  text(file: NamedFile, now: number): string;
}

const COLUMNS: readonly Column[] = [
  { title: 'key', text: ({ key, name }) => key?.slice(0, DIGITS) ?? name },
  { title: 'kind', usual: 'features', text: ({ kind }) => kind ?? '' },
  { title: 'arch', text: ({ about }) => about.arch ?? '' },
  { title: 'member', text: ({ member }) => member ?? '' },
  { title: 'data', text: ({ set }) => set ?? '' },
  { title: 'pass', text: ({ about }) => about.pass ?? '' },
  { title: 'precision', usual: 'float32', text: ({ about }) => about.precision ?? '' },
  { title: 'storage', usual: 'float32', text: ({ about }) => about.storage ?? '' },
  { title: 'rows', isNumber: true, text: ({ about }) => about.rows?.toString() ?? '' },
  { title: 'size', isNumber: true, text: ({ bytes }) => size(bytes) },
  { title: 'age', isNumber: true, text: ({ modified }, now) => formatAge(now - modified) },
  { title: 'state', text: ({ state }) => state },
];

function storedTable(files: readonly StoredFile[], names: RunNames | undefined, now = Date.now()): string {
  const named = files.map((file) => withNames(file, names)).sort(byContent);
  const texts = COLUMNS.map((column) => named.map((file) => printable(column.text(file, now))));
  const shown = COLUMNS.map((_, index) => index).filter((index) => {
    const { usual } = COLUMNS[index] as Column;
    return usual === undefined || texts[index]?.some((text) => text !== usual && text !== '');
  });
  const head = shown.map((index) => (COLUMNS[index] as Column).title);
  const rows = named.map((_, row) => shown.map((index) => texts[index]?.[row] || '–'));
  const numbers = shown.flatMap((index, place) => ((COLUMNS[index] as Column).isNumber ? [place] : []));
  return formatTable(head, rows, numbers);
}

interface NamedFile extends StoredFile {
  /** The run's seed, or the beginning of the checkpoint's SHA-256. */
  member: string | null;
  /** The run's name of the data set, or its reader and the beginning of its fingerprint. */
  set: string | null;
}

function withNames(file: StoredFile, names: RunNames | undefined): NamedFile {
  const { weights, data, fingerprint } = file.about;
  const bare = fingerprint?.replace(/\+skip$/, '');
  const named = bare === undefined ? undefined : names?.sets.get(bare);
  const short = [data, bare?.slice(0, DIGITS)].filter(Boolean).join(' ');
  const member = weights === undefined ? undefined : (names?.members.get(weights) ?? weights.slice(0, DIGITS));
  return { ...file, member: member ?? null, set: named ?? (short || null) };
}

/** Files of one mode stand together, then those of one data set. */
function byContent(a: NamedFile, b: NamedFile): number {
  const fields = ({ kind, about, member, set, name }: NamedFile) =>
    [kind ?? '~', about.arch ?? '~', member ?? '~', set ?? '~', about.pass ?? '~', name].map(String);
  const [one, other] = [fields(a), fields(b)];
  const at = one.findIndex((text, index) => text !== other[index]);
  return at < 0 ? 0 : (one[at] as string).localeCompare(other[at] as string, 'en', { numeric: true });
}

/** `12 s`, `3 min`, `5 h`, `12 d`. */
export function formatAge(milliseconds: number): string {
  const seconds = Math.max(0, milliseconds / 1000);
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 2 * 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Texts out of files and names of files can hold what drives a terminal. */
function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}
