#!/usr/bin/env node
/**
 * Builds the loader, the search for nearest neighbours and that for leading singular vectors (plain C++: no LibTorch, no
 * Node) together with test/native, once under the address and the undefined-behaviour sanitizer and once under the thread
 * sanitizer, and runs it on images that the tests have.
 *
 *   node scripts/sanitize.mjs [--only address|thread] [FOLDER…]
 *
 * FOLDER…: more folders of images to load. What did not change is not built again.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { hashInputs, listFiles, readJson, writeJson } from './setup/stamp.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const TESTS = ['loader', 'neighbours', 'leading'].map((name) => `test/native/${name}.cc`);
const LEADING = ['leading', 'leading_kernels', 'leading_avx2', 'leading_avx512'];
const LINALG = ['near_kernels', 'codes', 'nearest', ...LEADING].map((name) => `native/linalg/${name}.cc`);
/** As in CMakeLists.txt: a file for one instruction set is named for it. */
const SETS = [
  ['_avx512.cc', ['-mavx512f', '-mfma']],
  ['_avx2.cc', ['-mavx2', '-mfma']],
];
const IMAGES = ['test/fixtures/images'];
const KINDS = {
  address: ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
  thread: ['-fsanitize=thread'],
};
const compiler = process.env.CXX ?? 'g++';

class Stop extends Error {}

function command(program, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', (error) => reject(new Stop(`${program}: ${error.message}`)));
    child.on('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Stop(`${program} ${args.at(-1)}: ${signal ?? `exit status ${code}`}`));
    });
  });
}

/** Readers that the test has no need of, and their parts; the fuzzers run them under sanitizers. */
const OTHER_READERS = /data\/(builtin|cifar|imagenet|list|mat_|npy|registry|svhn|tar|verify)/;

/** The loader, the searches, and what is below them: of native/data and native/runtime what does not need LibTorch. */
function plainSources() {
  const cmake = readFileSync(path.join(root, 'CMakeLists.txt'), 'utf8');
  const isPlain = (name) => name.endsWith('.cc') && !cmake.includes(name.replace('native/', '${NATIVE}/'));
  const isMeant = (name) => isPlain(name) && !OTHER_READERS.test(name);
  return [...listFiles(root, ['native/data', 'native/runtime'], isMeant), ...LINALG];
}

async function build(kind, folder) {
  const sources = [...plainSources(), ...TESTS];
  const headers = listFiles(
    root,
    ['native/data', 'native/runtime', 'native/checkpoint', 'native/linalg', 'test/native'],
    (name) => name.endsWith('.h'),
  );
  const flags = ['-std=c++20', '-O1', '-g', '-fno-omit-frame-pointer', '-ffp-contract=off', '-Inative', ...KINDS[kind]];
  const version = spawnSync(compiler, ['--version'], { encoding: 'utf8' });
  if (version.error) throw new Stop(`${compiler} was not found; set CXX to a C++20 compiler`);
  const program = path.join(folder, 'loader');
  const record = path.join(folder, 'made-from.json');
  const hash = hashInputs(root, [...sources, ...headers], { version: version.stdout, flags });
  if (readJson(record)?.hash === hash) return program;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const objects = sources.map((source) => path.join(folder, `${source.replaceAll('/', '_')}.o`));
  const set = (source) =>
    (process.arch === 'x64' ? SETS.find(([ending]) => source.endsWith(ending))?.[1] : undefined) ?? [];
  const left = sources.map((source, index) => [...flags, ...set(source), '-c', '-o', objects[index], source]);
  const worker = async () => {
    for (let args = left.shift(); args; args = left.shift()) await command(compiler, args);
  };
  await Promise.all(Array.from({ length: os.availableParallelism() }, worker));
  await command(compiler, [...flags, '-o', program, ...objects, '-ljpeg', '-lpng', '-lz', '-lpthread']);
  writeJson(record, { hash });
  return program;
}

async function main() {
  const { values, positionals } = parseArgs({ options: { only: { type: 'string' } }, allowPositionals: true });
  const kinds = values.only === undefined ? Object.keys(KINDS) : [values.only];
  for (const kind of kinds) {
    if (!KINDS[kind]) throw new Stop(`--only: expected ${Object.keys(KINDS).join(' or ')}, found "${kind}"`);
    const start = performance.now();
    const program = await build(kind, path.join(root, 'build-native/sanitize', kind));
    console.log(`sanitize: ${kind}: built in ${((performance.now() - start) / 1000).toFixed(0)} s`);
    await command(program, [...IMAGES, ...positionals]);
  }
}

try {
  await main();
} catch (error) {
  if (!(error instanceof Stop)) throw error;
  console.error(`sanitize: ${error.message}`);
  process.exitCode = 1;
}
