#!/usr/bin/env node
/**
 * Feeds the checkpoint reader with files that lie: first a list of known bad ones, then changes of test/fuzz/corpus at random.
 *
 *   node scripts/fuzz.mjs [--seconds 120] [--seed N] [--driver] [--build-only] [INPUT…]
 *
 * With clang++ the changes are libFuzzer's; without (or with --driver) our own, made by test/fuzz/driver.cc and g++. Both
 * stop at what the address and undefined-behaviour sanitizers find, at more than a second of processor time and at more than
 * 100 MB of memory for one input. Such an input is kept and the exit status is 1. INPUT…: runs these files and nothing else.
 * Needs zlib's headers, not LibTorch.
 */
import { spawnSync } from 'node:child_process';
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

function build(folder, libFuzzer) {
  const compiler = libFuzzer ? 'clang++' : 'g++';
  if (!libFuzzer && !has('g++')) throw new Stop('Neither clang++ with libFuzzer nor g++ was found.');
  // Those of the room that need LibTorch are named in CMakeLists.txt.
  const cmake = readFileSync(path.join(root, 'CMakeLists.txt'), 'utf8');
  const isPlain = (name) => name.endsWith('.cc') && !cmake.includes(name.replace('native/', '${NATIVE}/'));
  const native = listFiles(root, ['native/checkpoint'], isPlain);
  const plain = [...native, 'native/runtime/error.cc', 'native/runtime/files.cc', `${FUZZ}/exercise.cc`];
  const targets = [`${FUZZ}/bad_inputs.cc`, `${FUZZ}/checkpoint.cc`, ...(libFuzzer ? [] : [`${FUZZ}/driver.cc`])];
  const headers = listFiles(root, ['native/checkpoint', 'native/runtime', FUZZ], (name) => name.endsWith('.h'));
  const flags = ['-std=c++20', '-O1', '-g', '-fno-omit-frame-pointer', '-Inative', `-I${FUZZ}`, ...SANITIZE];
  if (libFuzzer) flags.push('-fsanitize=fuzzer-no-link');
  const record = path.join(folder, 'made-from.json');
  const version = run(compiler, ['--version']).stdout;
  const hash = hashInputs(root, [...plain, ...targets, ...headers], { compiler, version, flags });
  const programs = { bad: path.join(folder, 'bad-inputs'), fuzz: path.join(folder, 'checkpoint') };
  if (readJson(record)?.hash === hash && existsSync(programs.bad) && existsSync(programs.fuzz)) return programs;

  console.log(`Building the fuzzer with ${compiler} …`);
  const objects = new Map();
  for (const source of [...plain, ...targets]) {
    const object = path.join(folder, `${path.basename(source, '.cc')}-${objects.size}.o`);
    const { status, output } = run(compiler, [...flags, '-c', source, '-o', object]);
    if (status !== 0) throw new Stop(output);
    objects.set(source, object);
  }
  const link = (target, sources, extra) => {
    const args = [...SANITIZE, ...extra, ...sources.map((source) => objects.get(source)), '-lz', '-o', target];
    const { status, output } = run(compiler, args);
    if (status !== 0) throw new Stop(output);
  };
  link(programs.bad, [...plain, targets[0]], []);
  link(programs.fuzz, [...plain, ...targets.slice(1)], libFuzzer ? ['-fsanitize=fuzzer'] : []);
  writeJson(record, { hash });
  return programs;
}

function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '120' },
      seed: { type: 'string', default: '1' },
      driver: { type: 'boolean', default: false },
      'build-only': { type: 'boolean', default: false },
    },
  });
  const seconds = Number(values.seconds);
  if (!Number.isInteger(seconds) || seconds < 0) throw new Stop('--seconds takes a whole number.');
  if (!existsSync(path.join(root, FUZZ))) throw new Stop(`${FUZZ}/ is not part of the installed package.`);
  const temporary = mkdtempSync(path.join(os.tmpdir(), 'mode-ensemble-fuzz-run-'));
  try {
    const libFuzzer = !values.driver && hasLibFuzzer(temporary);
    const folder = buildFolder(libFuzzer ? 'libfuzzer' : 'driver');
    const programs = build(folder, libFuzzer);
    if (values['build-only']) {
      console.log(programs.fuzz);
      return 0;
    }
    const env = {
      ...process.env,
      ASAN_OPTIONS: 'quarantine_size_mb=16:detect_leaks=1',
      UBSAN_OPTIONS: 'print_stacktrace=1',
    };
    if (positionals.length > 0) {
      const inputs = positionals.map((name) => path.resolve(name));
      return spawnSync(programs.fuzz, inputs, { cwd: root, env, stdio: 'inherit' }).status === 0 ? 0 : 1;
    }

    const bad = run(programs.bad, [], { env });
    process.stdout.write(bad.output);
    if (bad.status !== 0) return 1;

    const artifacts = path.join(folder, 'found');
    mkdirSync(artifacts, { recursive: true });
    const before = new Set(readdirSync(artifacts));
    // New inputs go to the first folder; the committed corpus is only read.
    const grown = path.join(temporary, 'corpus');
    mkdirSync(grown);
    const corpus = path.join(root, FUZZ, 'corpus');
    const args = [`-max_total_time=${seconds}`, `-seed=${values.seed}`, `-artifact_prefix=${artifacts}/`];
    args.push(`-dict=${path.join(root, FUZZ, 'checkpoint.dict')}`);
    // libFuzzer's own limits only guard against what ours cannot see: a process that hangs, the sanitizers' memory.
    if (libFuzzer) args.push('-timeout=20', '-rss_limit_mb=2560', '-max_len=65536', '-print_final_stats=1', grown);
    console.log(`Fuzzing for ${seconds} s with ${libFuzzer ? 'libFuzzer' : 'the project’s own driver'} …`);
    const fuzz = run(programs.fuzz, [...args, corpus], { env });
    const executions = Number(/number_of_executed_units: *(\d+)/.exec(fuzz.output)?.[1] ?? Number.NaN);
    const found = readdirSync(artifacts).filter(
      (name) => !before.has(name) && statSync(path.join(artifacts, name)).isFile(),
    );
    // Slow units are reported, not failures: processor time is what counts, and the target measures it itself.
    const faults = found.filter((name) => !name.startsWith('slow-unit'));
    if (fuzz.status === 0 && faults.length === 0) {
      const rate = seconds > 0 ? ` (${Math.round(executions / seconds)} a second)` : '';
      console.log(`${executions} executions${rate}; nothing found.`);
      return 0;
    }
    process.stdout.write(`${fuzz.output.split('\n').slice(-80).join('\n')}\n`);
    console.log(`Found, after ${Number.isNaN(executions) ? 'some' : executions} executions:`);
    for (const name of found)
      console.log(`  node scripts/fuzz.mjs ${path.relative(process.cwd(), path.join(artifacts, name))}`);
    return 1;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

try {
  process.exitCode = main();
} catch (error) {
  if (!(error instanceof Stop)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
