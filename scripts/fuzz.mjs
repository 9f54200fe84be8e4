#!/usr/bin/env node
/**
 * Feeds the readers of checkpoints and of data with files that lie: first a list of known bad ones, then changes of right ones
 * at random.
 *
 *   node scripts/fuzz.mjs [--target NAME] [--seconds 120] [--seed N] [--driver] [--build-only] [INPUT…]
 *
 * --target takes one of TARGETS below; without it all take their turn and share the seconds.
 * With clang++ the changes are libFuzzer's; without (or with --driver) our own, made by test/fuzz/driver.cc and g++. Both
 * stop at what the address and undefined-behaviour sanitizers find, at more than a second of processor time and at more than
 * 100 MB of memory for one input. Such an input is kept and the exit status is 1. INPUT…: runs these files with --target and nothing else.
 * Needs zlib's headers, not LibTorch.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { hashInputs, listFiles, readJson, writeJson } from './setup/stamp.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const FUZZ = 'test/fuzz';
const SANITIZE = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

/**
 * What is fuzzed: test/fuzz/exercise_NAME.cc reads an input, bad_NAME.cc lists bad ones, NAME.dict holds words. `corpus`:
 * where the right files are; `maxLength`: of an input, in bytes. A MAT-file is deflated, by a thousand at most, so that a
 * short one may already need the memory that is allowed.
 */
const TARGETS = {
  checkpoint: { corpus: `${FUZZ}/corpus`, maxLength: 65536 },
  svhn: { corpus: 'test/fixtures/readers/svhn', maxLength: 8192 },
  npy: { corpus: 'test/fixtures/readers/npy', maxLength: 4096 },
  cifar: { corpus: 'test/fixtures/readers/cifar10-*', maxLength: 16384 },
  tar: { corpus: `${FUZZ}/seeds/tar`, maxLength: 16384 },
  list: { corpus: `${FUZZ}/seeds/list`, maxLength: 4096 },
  index: { corpus: `${FUZZ}/seeds/index`, maxLength: 4096 },
};
/** Parts of native/runtime/ and native/data/ that need neither LibTorch nor the decoders of images. */
const RUNTIME = ['byte_source', 'error', 'files', 'parallel', 'printable', 'sha256'];
const DATA = [
  ...['cifar_pickle', 'cifar_sets', 'file_index', 'file_set', 'files', 'index_cache', 'list_parse', 'mat_file'],
  ...['npy_file', 'readers', 'svhn_file', 'tar_archive', 'tar_index'],
];

class Stop extends Error {}

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28, ...options });
  if (result.error) throw new Stop(`${command}: ${result.error.message}`);
  return { ...result, output: `${result.stdout}${result.stderr}` };
}

function has(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
}

/** Can this clang++ link libFuzzer? Its runtime is a package of its own on some systems. */
function hasLibFuzzer(folder) {
  if (!has('clang++')) return false;
  const program = 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }';
  const args = ['-x', 'c++', '-', '-fsanitize=fuzzer,address', '-o', path.join(folder, 'probe')];
  return spawnSync('clang++', args, { input: program }).status === 0;
}

/** build-native/ in the project; where that cannot be written, the system's temporary folder. */
function buildFolder(kind) {
  const inside = path.join(root, 'build-native/fuzz', kind);
  try {
    mkdirSync(inside, { recursive: true });
    accessSync(inside, constants.W_OK);
    return inside;
  } catch {
    return mkdtempSync(path.join(os.tmpdir(), 'mode-ensemble-fuzz-'));
  }
}

/** Compiles sources to objects, as many at a time as there are processors. */
async function compile(compiler, flags, jobs) {
  const waiting = [...jobs];
  const work = async () => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      const [source, object] = job;
      const child = spawn(compiler, [...flags, '-c', source, '-o', object], { cwd: root });
      let output = '';
      child.stdout.on('data', (text) => (output += text));
      child.stderr.on('data', (text) => (output += text));
      const status = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
      if (status !== 0) throw new Stop(output);
    }
  };
  await Promise.all(Array.from({ length: os.availableParallelism() }, work));
}

/** Builds the targets' programs, { NAME: { bad, fuzz } }. A source is compiled once for all of them, and again where it or a header changed. */
async function build(folder, libFuzzer) {
  const compiler = libFuzzer ? 'clang++' : 'g++';
  if (!libFuzzer && !has('g++')) throw new Stop('Neither clang++ with libFuzzer nor g++ was found.');
  // Those of the room that need LibTorch are named in CMakeLists.txt.
  const cmake = readFileSync(path.join(root, 'CMakeLists.txt'), 'utf8');
  const isPlain = (name) => name.endsWith('.cc') && !cmake.includes(name.replace('native/', '${NATIVE}/'));
  const plain = listFiles(root, ['native/checkpoint'], isPlain);
  plain.push(...RUNTIME.map((name) => `native/runtime/${name}.cc`), ...DATA.map((name) => `native/data/${name}.cc`));
  plain.push(`${FUZZ}/usage.cc`);
  const bad = `${FUZZ}/bad.cc`;
  const fuzz = [`${FUZZ}/target.cc`, ...(libFuzzer ? [] : [`${FUZZ}/driver.cc`])];
  const own = (name) => [`${FUZZ}/exercise_${name}.cc`, `${FUZZ}/bad_${name}.cc`];
  const sources = [...plain, bad, ...fuzz, ...Object.keys(TARGETS).flatMap(own)];
  const rooms = ['native/checkpoint', 'native/runtime', 'native/data', FUZZ];
  const headers = listFiles(root, rooms, (name) => name.endsWith('.h'));
  const flags = ['-std=c++20', '-O1', '-g', '-fno-omit-frame-pointer', '-Inative', `-I${FUZZ}`, ...SANITIZE];
  if (libFuzzer) flags.push('-fsanitize=fuzzer-no-link');
  const record = path.join(folder, 'made-from.json');
  const version = run(compiler, ['--version']).stdout;
  const facts = hashInputs(root, headers, { compiler, version, flags });
  const hashes = Object.fromEntries(sources.map((source) => [source, hashInputs(root, [source], facts)]));
  const object = (source) => path.join(folder, `${source.replaceAll('/', '-')}.o`);
  const programs = Object.fromEntries(
    Object.keys(TARGETS).map((name) => [
      name,
      { bad: path.join(folder, `bad-${name}`), fuzz: path.join(folder, name) },
    ]),
  );
  const before = readJson(record)?.hashes ?? {};
  const changed = sources.filter((source) => before[source] !== hashes[source] || !existsSync(object(source)));
  const made = Object.values(programs).every((two) => existsSync(two.bad) && existsSync(two.fuzz));
  if (made && changed.length === 0) return programs;

  console.log(`Building the fuzzers with ${compiler} …`);
  rmSync(record, { force: true });
  await compile(
    compiler,
    flags,
    changed.map((source) => [source, object(source)]),
  );
  const link = (target, parts, extra) => {
    const args = [...SANITIZE, ...extra, ...parts.map(object), '-lz', '-pthread', '-o', target];
    const { status, output } = run(compiler, args);
    if (status !== 0) throw new Stop(output);
  };
  for (const [name, program] of Object.entries(programs)) {
    const [exercise, list] = own(name);
    link(program.bad, [...plain, exercise, list, bad], []);
    link(program.fuzz, [...plain, exercise, ...fuzz], libFuzzer ? ['-fsanitize=fuzzer'] : []);
  }
  writeJson(record, { hashes });
  return programs;
}

/** The folders that `corpus` stands for: one, or those whose names begin with what is before a "*". */
function corpusFolders({ corpus }) {
  const whole = path.join(root, corpus);
  if (!whole.endsWith('*')) return [whole];
  const begin = path.basename(whole).slice(0, -1);
  const inside = path.dirname(whole);
  return readdirSync(inside)
    .filter((name) => name.startsWith(begin))
    .map((name) => path.join(inside, name));
}

/** The known bad files, then random changes for some seconds; true where nothing was found. */
function fuzz(name, program, { folder, temporary, env, libFuzzer, seconds, seed }) {
  const bad = run(program.bad, [], { env });
  process.stdout.write(`${name}: ${bad.output}`);
  if (bad.status !== 0) return false;

  const artifacts = path.join(folder, 'found', name);
  mkdirSync(artifacts, { recursive: true });
  const before = new Set(readdirSync(artifacts));
  // New inputs go to the first folder; the committed corpus is only read.
  const grown = path.join(temporary, name);
  mkdirSync(grown);
  const args = [`-max_total_time=${seconds}`, `-seed=${seed}`, `-artifact_prefix=${artifacts}/`];
  args.push(`-dict=${path.join(root, FUZZ, `${name}.dict`)}`, `-max_len=${TARGETS[name].maxLength}`);
  // libFuzzer's own limits only guard against what ours cannot see: a process that hangs, the sanitizers' memory.
  if (libFuzzer) args.push('-timeout=20', '-rss_limit_mb=2560', '-print_final_stats=1', grown);
  const { status, output } = run(program.fuzz, [...args, ...corpusFolders(TARGETS[name])], { env });
  const executions = Number(/number_of_executed_units: *(\d+)/.exec(output)?.[1] ?? Number.NaN);
  const found = readdirSync(artifacts).filter(
    (file) => !before.has(file) && statSync(path.join(artifacts, file)).isFile(),
  );
  // Slow units are reported, not failures: processor time is what counts, and the target measures it itself.
  const faults = found.filter((file) => !file.startsWith('slow-unit'));
  if (status === 0 && faults.length === 0) {
    const rate = seconds > 0 ? ` in ${seconds} s (${Math.round(executions / seconds)} a second)` : '';
    console.log(`${name}: ${executions} executions${rate}; nothing found.`);
    return true;
  }
  process.stdout.write(`${output.split('\n').slice(-80).join('\n')}\n`);
  console.log(`${name}: found, after ${Number.isNaN(executions) ? 'some' : executions} executions:`);
  for (const file of found) {
    const place = path.relative(process.cwd(), path.join(artifacts, file));
    console.log(`  node scripts/fuzz.mjs --target ${name} ${place}`);
  }
  return false;
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      target: { type: 'string' },
      seconds: { type: 'string', default: '120' },
      seed: { type: 'string', default: '1' },
      driver: { type: 'boolean', default: false },
      'build-only': { type: 'boolean', default: false },
    },
  });
  const seconds = Number(values.seconds);
  if (!Number.isInteger(seconds) || seconds < 0) throw new Stop('--seconds takes a whole number.');
  if (values.target !== undefined && !Object.hasOwn(TARGETS, values.target)) {
    throw new Stop(`--target takes one of ${Object.keys(TARGETS).join(', ')}.`);
  }
  if (positionals.length > 0 && values.target === undefined)
    throw new Stop('An INPUT needs --target: who is to read it?');
  if (!existsSync(path.join(root, FUZZ))) throw new Stop(`${FUZZ}/ is not part of the installed package.`);
  const temporary = mkdtempSync(path.join(os.tmpdir(), 'mode-ensemble-fuzz-run-'));
  try {
    const libFuzzer = !values.driver && hasLibFuzzer(temporary);
    const folder = buildFolder(libFuzzer ? 'libfuzzer' : 'driver');
    const programs = await build(folder, libFuzzer);
    if (values['build-only']) {
      for (const { fuzz } of Object.values(programs)) console.log(fuzz);
      return 0;
    }
    const env = {
      ...process.env,
      ASAN_OPTIONS: 'quarantine_size_mb=16:detect_leaks=1',
      UBSAN_OPTIONS: 'print_stacktrace=1',
    };
    if (positionals.length > 0) {
      const inputs = positionals.map((name) => path.resolve(name));
      const options = { cwd: root, env, stdio: 'inherit' };
      return spawnSync(programs[values.target].fuzz, inputs, options).status === 0 ? 0 : 1;
    }
    const names = values.target === undefined ? Object.keys(TARGETS) : [values.target];
    // Of 0 seconds libFuzzer would make no end.
    const share = Math.max(1, Math.floor(seconds / names.length));
    console.log(`Fuzzing for ${seconds} s with ${libFuzzer ? 'libFuzzer' : 'the project’s own driver'} …`);
    const options = { folder, temporary, env, libFuzzer, seconds: share, seed: values.seed };
    // All take their turn, so that one failure does not hide another.
    const faulty = names.filter((name) => !fuzz(name, programs[name], options));
    return faulty.length === 0 ? 0 : 1;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof Stop)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
