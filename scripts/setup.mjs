#!/usr/bin/env node
/**
 * The one way to get ready: npm packages, LibTorch, the addon, TypeScript. Does nothing when nothing changed. Needs no
 * npm package itself. `npm start`, `npm test` and binding.gyp call it.
 */
import { existsSync, realpathSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Console, seconds } from './setup/console.mjs';
import { chooseVariant, lookUp } from './setup/libtorch.mjs';
import { acquireLock } from './setup/lock.mjs';
import { ADDON, buildNative, compilerText, nativeHashes, OUTPUT, readRecord } from './setup/native.mjs';
import { npmInstall, npmIsFresh, packageFolder } from './setup/npm.mjs';
import { findCopy, makeCopy, VERSION } from './setup/private-copy.mjs';
import { endChildren, SetupError } from './setup/process.mjs';
import { findCompiler, findPython, requireTools } from './setup/tools.mjs';
import { compileTypescript, typescriptIsFresh } from './setup/typescript.mjs';
import { atLeast } from './setup/versions.mjs';

const HELP = `Gets mode-ensemble ready: npm packages, LibTorch, the native addon, TypeScript.

Usage: node scripts/setup.mjs [--native-only] [--force] [--quiet]

  --native-only  leave TypeScript alone (what node-gyp calls)
  --force        do every step again, from nothing
  --quiet        print nothing unless something is wrong
  --help         show this

LibTorch (${'2.8'} or newer) is looked for in this order:
  LIBTORCH                  a folder with share/cmake/Torch
  the active Python's torch (LIBTORCH_USE_PYTORCH=1 insists on it, =0 passes it over)
  a private copy of ${VERSION}, made with pip in the user's cache folder
Other variables: LIBTORCH_VARIANT=cpu|cuda, MODE_ENSEMBLE_CACHE (folder), CXX (compiler), PYTHON,
CMAKE_BUILD_PARALLEL_LEVEL (threads of the build).
`;

const root = realpathSync(path.dirname(path.dirname(fileURLToPath(import.meta.url))));
/** A package installed from npm carries its compiled TypeScript and no lock file: only the native part is to do. */
const checkout = existsSync(path.join(root, 'lib')) && existsSync(path.join(root, 'package-lock.json'));
const cleanUp = new Set();

function readArguments(words) {
  const options = { nativeOnly: false, force: false, quiet: false };
  const known = { '--native-only': 'nativeOnly', '--force': 'force', '--quiet': 'quiet' };
  for (const word of words) {
    if (word === '--help' || word === '-h') {
      process.stdout.write(HELP);
      process.exit(0);
    }
    if (known[word] === undefined) {
      process.stderr.write(`setup: unknown argument '${word}' (see --help).\n`);
      process.exit(2);
    }
    options[known[word]] = true;
  }
  return options;
}

/** What is there and what is to be done; looks only, and takes a fifth of a second. */
async function survey({ nativeOnly, force }) {
  const { variant, asked } = chooseVariant(process.env);
  const wantPython = !process.env.LIBTORCH && process.env.LIBTORCH_USE_PYTORCH !== '0';
  const asking = Promise.all([findCompiler(), wantPython ? findPython() : null]);
  // node-gyp may be running out of node_modules: there it is only filled, never replaced.
  const npm = checkout && (nativeOnly ? packageFolder(root, 'cmake-js') === null : force || !npmIsFresh(root));
  const typescript = checkout && !nativeOnly && (force || !typescriptIsFresh(root));
  const [compiler, python] = await asking;
  const privateCopy = findCopy(process.env, root, variant);
  const { found, notes } = lookUp({ env: process.env, pythonTorch: python?.torch ?? null, privateCopy });
  const record = readRecord(root);
  let native = true;
  if (found !== null && record !== null && !force) {
    // Where there is no compiler (a machine that only runs what another built), the recorded one counts.
    const line = compiler?.path === undefined ? record.compiler : compilerText(compiler);
    native = nativeHashes(root, { compiler: line, libtorch: found }).inputs !== record.inputs;
  }
  return { variant, asked, libtorch: found, notes, native, npm, typescript, record };
}

function libtorchText({ version, cuda, path: at, source }) {
  const home = process.env.HOME;
  const short = home && at.startsWith(`${home}/`) ? `~${at.slice(home.length)}` : at;
  return `${version}, ${cuda === null ? 'CPU' : `CUDA ${cuda}`}, ${short} (${source})`;
}

async function provideLibtorch(plan, { console, log, onStart }) {
  const make = async (variant) => {
    const { python } = await requireTools({ pip: true }, { console, log, onStart });
    await console.step(`LibTorch ${VERSION} (${variant}), a private copy made with pip`, async (onDetail) => {
      const options = { env: process.env, root, variant, python, log, onStart, onDetail, cleanUp };
      await makeCopy(options);
    });
    return findCopy(process.env, root, variant);
  };
  let folder;
  try {
    folder = await make(plan.variant);
  } catch (error) {
    if (plan.asked || plan.variant === 'cpu' || !(error instanceof SetupError)) throw error;
    console.line(`setup: no CUDA build of LibTorch (${error.message}) Taking the CPU build.`);
    folder = await make('cpu');
  }
  const { found } = lookUp({ env: {}, pythonTorch: null, privateCopy: folder });
  if (found === null) throw new SetupError(`The private copy of LibTorch in ${folder} cannot be used.`, { log });
  return found;
}

async function main() {
  const options = readArguments(process.argv.slice(2));
  const console = new Console(options);
  if (!atLeast(process.versions.node, '20.19')) {
    throw new SetupError(`Node ${process.versions.node} is too old: mode-ensemble needs Node 20.19 or newer.`);
  }
  if (process.platform === 'win32') {
    throw new SetupError('Windows is not supported: use Linux, macOS, or the Windows Subsystem for Linux.');
  }
  const done = (plan) => !plan.npm && !plan.native && !plan.typescript;
  let plan = await survey(options);
  if (done(plan)) {
    console.line(
      `mode-ensemble is ready (nothing changed): Node ${process.versions.node}, LibTorch ${libtorchText(plan.libtorch)}`,
    );
    return;
  }

  const folder = path.join(root, OUTPUT);
  const lock = await acquireLock(path.join(folder, 'setup.lock'), {
    onWait: (owner) =>
      console.line(`setup: another set-up (process ${owner?.pid ?? '?'}) is at work here; waiting for it`),
  });
  cleanUp.add(() => lock.release());
  try {
    // While waiting, the other set-up may have done it all.
    plan = await survey(options);
    const log = path.join(folder, 'setup.log');
    rmSync(log, { force: true });
    const tell = { console, log, onStart: (pid) => lock.setGroup(pid) };
    let { libtorch } = plan;
    let tools;
    for (const note of plan.notes) console.line(`setup: ${note}`);
    // What a person may have to install is asked for before anything takes time.
    if (plan.native) tools = await requireTools({ build: true, pip: libtorch === null }, tell);
    if (plan.npm) await console.step('npm packages', () => npmInstall(root, { force: options.force, ...tell }));
    if (plan.native) {
      libtorch ??= await provideLibtorch(plan, tell);
      await console.step('native addon', async (onDetail) => {
        await buildNative(root, { tools, libtorch, force: options.force, ...tell, onDetail });
      });
    }
    if (plan.typescript) {
      await console.step('TypeScript', () => compileTypescript(root, tell));
    }
    const compiler = tools?.compiler ?? (await findCompiler());
    const rows = [['Node', `${process.versions.node}, ${process.platform} ${process.arch}`]];
    if (compiler?.path !== undefined)
      rows.push(['Compiler', `${compiler.family} ${compiler.version}, ${compiler.path}`]);
    if (tools !== undefined) rows.push(['CMake', `${tools.cmake.version} with ${tools.generator}`]);
    rows.push(['LibTorch', libtorchText(libtorch)], ['Addon', ADDON]);
    if (checkout && !options.nativeOnly) rows.push(['TypeScript', 'dist']);
    console.table(`mode-ensemble is ready (${seconds(console.started)})`, rows);
  } finally {
    console.stop();
    lock.release();
  }
}

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
]) {
  process.on(signal, () => {
    endChildren();
    for (const undo of cleanUp) {
      try {
        undo();
      } catch {
        // the next set-up sweeps it away
      }
    }
    process.stderr.write('\nsetup: interrupted; running it again goes on from here.\n');
    process.exit(status);
  });
}

try {
  await main();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`\nsetup: ${error.message}\n`);
  for (const line of error.lines) process.stderr.write(`  ${line}\n`);
  if (error.log !== undefined) process.stderr.write(`  (all of it: ${error.log})\n`);
  process.exitCode = 1;
}
