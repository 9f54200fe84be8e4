import { join } from 'node:path';
import type { Command } from 'commander';
import { ModeEnsembleError } from '../config/errors.js';
import { listSuite, type SetState } from '../data/inventory.js';
import { parseDataSpec } from '../data/spec.js';
import { type FoundSuite, findSuite, folderFault, grouped, isDrawn, requireSuiteFolder } from '../data/suite.js';
import { getSuite, SUITES, type Suite } from '../data/suites.js';
import {
  type ArchiveVerdict,
  explainShortened,
  findArchives,
  type SetVerdict,
  type VerifyTarget,
  verifyArchives,
  verifySets,
  verifyTargets,
} from '../data/verify.js';
import type { CommandContext } from './context.js';
import { addSuiteOptions, checkSuite, DEFAULT_DATA, fieldOption } from './options.js';
import { duration } from './progress.js';
import { formatTable, size } from './table.js';

interface Flags {
  suite?: string;
  data?: string;
  root?: string;
  threads?: number;
  json?: true;
}

/** So many bad images of a set are listed; `--json` has all that were kept. */
const BAD_SHOWN = 20;

export function addData(program: Command, context: CommandContext): void {
  const command = program
    .command('data')
    .summary('the data sets: what is there, what is missing, is it whole')
    .description('Which sets of the suites are in a folder, where to get what is missing, and whether data is whole.')
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble data ls --data ~/data
  $ mode-ensemble data verify --suite cifar10 --data ~/data`,
    );
  const ls = command
    .command('ls')
    .summary('what is there, complete or not, and where to get what is missing')
    .description(
      'Lists the sets of the suites: which are in the folder, whether they have all images, and for what is missing ' +
        'where to get it and where it belongs. Sets are opened; no image is decoded.',
    );
  addSuiteOptions(ls, 'this suite alone (default: all)')
    .addOption(fieldOption('--threads <n>', 'threads', 'threads that index large sets (default: all)'))
    .option('--json', 'print as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble data ls --data ~/data
  $ mode-ensemble data ls --suite imagenet --data ~/data --json`,
    )
    .action((flags: Flags) => list(flags, context));
  const verify = command
    .command('verify')
    .summary('read and decode everything, and list what is bad')
    .description(
      "Reads and decodes every image of the sets that are named, or of the suites' sets that are in the folder, and lists " +
        'those that are bad. Downloaded archives that lie there are compared with their published MD5. Exits 1 where ' +
        'anything is bad.',
    )
    .argument('[spec...]', 'sets, [NAME=]READER:PATH[?split=test] (default: those of the suites)');
  addSuiteOptions(verify, 'the sets of this suite (default, where no set is named: of all)')
    .option('--root <dir>', 'base of relative paths in the specs')
    .addOption(fieldOption('--threads <n>', 'threads', 'threads that read and decode (default: all)'))
    .option('--json', 'print as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble data verify --suite cifar10 --data ~/data
  $ mode-ensemble data verify Textures=folder:data/dtd/images 'cifar10:data/cifar-10-batches-bin?split=train'`,
    )
    .action((specs: string[], flags: Flags) => verifyAll(specs, flags, context));
}

/** The suites that are meant: one, or all. */
function suitesOf({ suite }: Flags): readonly Suite[] {
  return suite === undefined ? SUITES : [getSuite(suite, '--suite')];
}

async function list(flags: Flags, context: CommandContext): Promise<void> {
  const { data = DEFAULT_DATA, threads } = flags;
  const suites = suitesOf(flags);
  const states: SetState[] = [];
  for (const suite of suites) states.push(...(await listSuite(suite, data, { ...context.hooks, threads })));
  if (flags.json) context.printJson({ folder: data, sets: states });
  else context.print(formatInventory(suites, states, data));
}

/** A table a suite, then where to get what is missing or damaged, each set once. */
export function formatInventory(suites: readonly Suite[], states: readonly SetState[], folder: string): string {
  const parts = suites.map(({ name, title }) => {
    const rows = states.filter(({ suite }) => suite === name).map(inventoryRow(folder));
    const head = ['set', 'state', 'images', 'of', `in ${folder}`];
    return `${name}: ${title}\n\n${indent(formatTable(head, rows, [2, 3]))}`;
  });
  const fault = suites.every(isDrawn) ? undefined : folderFault(folder);
  if (fault !== undefined)
    parts.unshift(`Expected the folder that holds the data sets, ${fault}; --data names another.`);
  const damaged = [...bySet(states.filter(({ state }) => state === 'damaged')).values()].flat();
  for (const { set, reason } of damaged) parts.push(`${set} is damaged: ${reason}`);
  const wanted = bySet(states.filter(({ state }) => state !== 'complete'));
  const advice = [...wanted].map(([set, parts]) => indent(howToGet(set, parts, folder)));
  if (advice.length > 0) parts.push(`Where to get what is not complete:\n\n${advice.join('\n\n')}`);
  return parts.join('\n\n');
}

function inventoryRow(folder: string) {
  return ({ set, state, images, expected, path }: SetState): string[] => [
    set,
    state,
    images === null ? '–' : grouped(images),
    grouped(expected),
    inside(folder, path),
  ];
}

/** By the set's name: its parts, and what several suites share, together. */
function bySet(states: readonly SetState[]): Map<string, SetState[]> {
  const sets = new Map<string, SetState[]>();
  for (const state of states) {
    const name = state.set.replace(/ \((train|test)\)$/, '');
    const before = sets.get(name) ?? [];
    if (!before.some(({ set }) => set === state.set)) sets.set(name, [...before, state]);
  }
  return sets;
}

function howToGet(set: string, parts: readonly SetState[], folder: string): string {
  const { path, note, archives } = parts[0] as SetState;
  const images = parts.map(({ expected }) => grouped(expected)).join(' + ');
  const lines = [`${set}, ${images} images, belongs in ${inside(folder, path)}`];
  if (note !== undefined) lines.push(`  ${note}`);
  for (const { name, url, bytes, md5 } of archives) {
    const facts = [
      url.endsWith(name) ? '' : name,
      bytes === undefined ? '' : size(bytes),
      md5 === undefined ? '' : `MD5 ${md5}`,
    ];
    lines.push(`  ${url}`, `  ${facts.filter((text) => text !== '').join(', ')}`);
  }
  return lines.join('\n');
}

/** A path as it is below the folder. */
function inside(folder: string, path: string): string {
  const start = join(folder, '/');
  return path.startsWith(start) ? path.slice(start.length) : path;
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '  ');
}

async function verifyAll(specs: readonly string[], flags: Flags, context: CommandContext): Promise<void> {
  const { data = DEFAULT_DATA, root = '.', threads, suite } = flags;
  if (specs.length > 0) checkSuite(flags);
  const named = specs.map((text): VerifyTarget => {
    const spec = parseDataSpec(text, 'data verify');
    return { title: spec.name, spec, root };
  });
  const found = suitesToVerify(specs, flags).map((one) => findSuite(one, data));
  const targets = [...named, ...verifyTargets(found)];
  const files = findArchives(found);
  if (targets.length + files.length === 0) {
    const which = suite === undefined ? 'no set of any suite' : `no set of ${getSuite(suite).name}`;
    const advice = 'mode-ensemble data ls tells where each belongs';
    throw new ModeEnsembleError('E_DATA', `data verify: ${which} is in ${data}; ${advice}`);
  }
  const settings = { ...context.hooks, threads };
  const sums = await verifyArchives(files, settings);
  const sets = await verifySets(targets, settings);
  const archives = explainShortened(sums, sets);
  // Of a suite that was asked for by name, what is not there is told as well.
  const missing = suite === undefined ? [] : found.flatMap(missingParts);
  if (flags.json) context.printJson({ sets, archives, missing });
  else context.print(formatVerdicts(sets, archives, missing));
  if ([...sets, ...archives].some(({ isGood }) => !isGood)) process.exitCode = 1;
}

/** The suite that is named; all that lie in files where nothing is. */
function suitesToVerify(specs: readonly string[], flags: Flags): readonly Suite[] {
  const { data = DEFAULT_DATA, suite } = flags;
  if (specs.length > 0 && suite === undefined) return [];
  const suites = suitesOf(flags).filter((one) => suite !== undefined || !isDrawn(one));
  for (const one of suites) requireSuiteFolder(one, data, '--data');
  return suites;
}

function missingParts({ train, test, out }: FoundSuite): string[] {
  return [train, test, ...out].filter(({ spec }) => spec === undefined).map(({ title }) => title);
}

/** @param missing titles of sets that are not there */
export function formatVerdicts(
  sets: readonly SetVerdict[],
  archives: readonly ArchiveVerdict[],
  missing: readonly string[] = [],
): string {
  const parts: string[] = [];
  if (sets.length > 0) parts.push(verdictTable(sets));
  if (archives.length > 0) {
    const rows = archives.map(({ archive, state, path }) => [archive, CHECKSUMS[state], path]);
    parts.push(formatTable(['archive', 'checksum', 'path'], rows));
  }
  for (const { set, fault, result } of sets) {
    if (fault !== undefined) parts.push(fault.includes(set) ? fault : `${set}: ${fault}`);
    if (result && result.badCount > 0) parts.push(badImages(set, result));
  }
  for (const { path, state, expected, found } of archives) {
    if (state === 'other') parts.push(`${path}: expected MD5 ${expected}, as published, found ${found}`);
  }
  const bad = [...sets, ...archives].filter(({ isGood }) => !isGood).length;
  const short = sets.filter(({ isIncomplete }) => isIncomplete).length;
  const summary = [
    bad === 0 ? 'Nothing is bad' : `Bad: ${bad} of ${sets.length + archives.length}`,
    short === 0 ? '' : `incomplete: ${short} of ${sets.length} sets`,
    missing.length === 0 ? '' : `missing: ${missing.join(', ')}`,
  ];
  parts.push(`${summary.filter((text) => text !== '').join('; ')}.`);
  return parts.join('\n\n');
}

const CHECKSUMS: Readonly<Record<ArchiveVerdict['state'], string>> = {
  published: 'as published',
  shortened: 'another, as images are left out',
  other: 'another',
};

/** The column `of` only where a suite says how many images there should be. */
function verdictTable(sets: readonly SetVerdict[]): string {
  const knowsSize = sets.some(({ expected }) => expected !== undefined);
  const head = ['set', 'images', ...(knowsSize ? ['of'] : []), 'bad', 'smallest', 'largest', 'time', 'path'];
  const rows = sets.map((verdict) => {
    const [set = '', images = '', ...others] = verdictRow(verdict);
    const { expected } = verdict;
    return [set, images, ...(knowsSize ? [expected === undefined ? '–' : grouped(expected)] : []), ...others];
  });
  return formatTable(head, rows, knowsSize ? [1, 2, 3] : [1, 2]);
}

function verdictRow({ set, path, result }: SetVerdict): string[] {
  if (!result) return [set, '–', '–', '–', '–', '–', path];
  const { count, badCount, seconds, minWidth, minHeight, maxWidth, maxHeight } = result;
  const hasSizes = badCount < count;
  return [
    set,
    grouped(count),
    grouped(badCount),
    hasSizes ? `${minWidth}×${minHeight}` : '–',
    hasSizes ? `${maxWidth}×${maxHeight}` : '–',
    duration(seconds),
    path,
  ];
}

function badImages(set: string, { bad, badCount }: NonNullable<SetVerdict['result']>): string {
  const shown = bad
    .slice(0, BAD_SHOWN)
    .map(({ name, reason }) => `  ${reason.includes(name) ? reason : `${name}: ${reason}`}`);
  const more = badCount - shown.length;
  const rest = more > 0 ? [`  and ${grouped(more)} more`] : [];
  return [`${set}, bad images:`, ...shown, ...rest].join('\n');
}
