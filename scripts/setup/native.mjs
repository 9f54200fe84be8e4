/** Configures and builds the addon with cmake-js, proves that it loads, and records what it was built from. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { findNvcc } from './libtorch.mjs';
import { packageFolder } from './npm.mjs';
import { run, SetupError, toolEnvironment, which } from './process.mjs';
import { hashInputs, listFiles, readJson, writeJson } from './stamp.mjs';
import { buildThreads, compilerCache, siblingC } from './tools.mjs';

export const OUTPUT = 'build-native';
export const ADDON = `${OUTPUT}/Release/mode_ensemble.node`;
export const RECORD = `${OUTPUT}/Release/mode_ensemble.json`;
/** Files in the output folder that are set-up's own and outlive a clean build. */
export const KEPT = ['setup.lock', 'setup.log'];

export function compilerText(compiler) {
  return `${compiler.path}: ${compiler.line}`;
}

/**
 * Two hashes: `config` over what CMake's cache depends on (a change means a build from nothing), `inputs` over that and the
 * sources (a change alone means an incremental build). Node's version is not among them: Node-API is stable across it.
 */
export function nativeHashes(root, { compiler, libtorch }) {
  const config = hashInputs(root, [], {
    root,
    compiler,
    libtorch: { path: libtorch.path, version: libtorch.version },
    platform: process.platform,
    arch: process.arch,
    generator: which('ninja') === null ? 'make' : 'ninja',
    cmakeJs: packageVersion(root, 'cmake-js'),
    addonApi: packageVersion(root, 'node-addon-api'),
  });
  const manifest = readJson(path.join(root, 'package.json'));
  const sources = listFiles(root, ['native', 'CMakeLists.txt'], (name) => !/(^|\/)\.|~$|\.(md|orig|swp)$/.test(name));
  const inputs = hashInputs(root, sources, { config, version: manifest?.version, binary: manifest?.binary });
  return { config, inputs };
}

function packageVersion(root, name) {
  const folder = packageFolder(root, name);
  return folder === null ? null : readJson(path.join(folder, 'package.json'))?.version;
}

export function readRecord(root) {
  return existsSync(path.join(root, ADDON)) ? readJson(path.join(root, RECORD)) : null;
}

/** The first lines of a build's output that say what is wrong, without the command lines around them. */
export function firstErrors(output, count = 12) {
  const lines = output.split('\n').map((line) => (line.length > 240 ? `${line.slice(0, 240)} …` : line));
  const wrong =
    /\berror\b:|fatal error|undefined reference|CMake Error|cannot find -l|No space left|Killed signal|ld returned/i;
  const at = lines.findIndex((line) => wrong.test(line));
  const from = at === -1 ? Math.max(0, lines.length - count) : at;
  return lines.slice(from, from + count).filter((line) => line.trim() !== '');
}

/** "37/120" or "31 %" out of Ninja's or make's line, or null. */
export function buildProgress(line) {
  const ninja = /^\[(\d+)\/(\d+)\]/.exec(line);
  if (ninja !== null) return `${ninja[1]} of ${ninja[2]}`;
  const make = /^\[\s*(\d+)%\]/.exec(line);
  return make === null ? null : `${make[1]} %`;
}

function cleanOutput(root) {
  const folder = path.join(root, OUTPUT);
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    if (!KEPT.includes(name)) rmSync(path.join(folder, name), { recursive: true, force: true, maxRetries: 3 });
  }
}

export async function buildNative(root, { tools, libtorch, force, log, onStart, onDetail }) {
  const { compiler, cmake } = tools;
  const hashes = nativeHashes(root, { compiler: compilerText(compiler), libtorch });
  const marker = path.join(root, OUTPUT, 'config.json');
  // Without its record an addon is not used: from here until the end it counts as not built.
  rmSync(path.join(root, RECORD), { force: true });
  if (force || readJson(marker)?.config !== hashes.config) cleanOutput(root);
  writeJson(marker, { config: hashes.config });

  const cmakeJs = packageFolder(root, 'cmake-js');
  if (cmakeJs === null || packageFolder(root, 'node-addon-api') === null) {
    throw new SetupError('cmake-js or node-addon-api is not installed: run `npm ci` (or `npm install`) first.');
  }
  const cache = compilerCache(compiler);
  const common = [
    '--directory',
    root,
    '--out',
    path.join(root, OUTPUT),
    '--config',
    'Release',
    '--cmake-path',
    cmake.path,
  ];
  const prefix = path.join(libtorch.path, 'share/cmake');
  const nvcc = findNvcc();
  const settings = {
    CMAKE_PREFIX_PATH: prefix,
    Torch_DIR: path.join(prefix, 'Torch'),
    CMAKE_CXX_COMPILER: compiler.path,
    ...(siblingC(compiler) === null ? {} : { CMAKE_C_COMPILER: siblingC(compiler) }),
    ...(libtorch.cuda && nvcc !== null ? { CMAKE_CUDA_COMPILER: nvcc, CMAKE_CUDA_HOST_COMPILER: compiler.path } : {}),
    ...(cache === null ? {} : { CMAKE_CXX_COMPILER_LAUNCHER: cache }),
  };
  const env = toolEnvironment({
    // ccache passes over anything with a precompiled header unless it is told what may be overlooked.
    CCACHE_SLOPPINESS: process.env.CCACHE_SLOPPINESS ?? 'pch_defines,time_macros,include_file_mtime,include_file_ctime',
  });
  const call = async (command, args, what) => {
    const onLine = (line) => {
      const progress = buildProgress(line);
      if (progress !== null) onDetail(progress);
    };
    onDetail(what);
    const script = path.join(cmakeJs, 'bin/cmake-js');
    const result = await run(process.execPath, [script, command, ...common, ...args], {
      cwd: root,
      env,
      log,
      onLine,
      onStart,
    });
    if (result.code === 0) return;
    const memory = /Killed signal|fatal error: Killed/.test(result.output);
    throw new SetupError(
      memory
        ? `The compiler was ended for want of memory while ${what} the addon: run set-up again with CMAKE_BUILD_PARALLEL_LEVEL=1.`
        : `cmake-js failed while ${what} the addon.`,
      { lines: firstErrors(result.output), log },
    );
  };
  const compilers = siblingC(compiler) === null ? [] : ['--cc', siblingC(compiler), '--cxx', compiler.path];
  const defines = Object.entries(settings).map(([name, value]) => `--CD${name}=${value}`);
  await call('configure', [...compilers, ...defines], 'configuring');
  await call('build', ['--parallel', String(buildThreads())], 'building');
  onDetail('proving that it loads');
  await proveAddon(root, { log, onStart });
  writeJson(path.join(root, RECORD), {
    libtorch: { path: libtorch.path, version: libtorch.version, cuda: libtorch.cuda },
    napi: Math.max(...(readJson(path.join(root, 'package.json'))?.binary?.napi_versions ?? [9])),
    platform: process.platform,
    arch: process.arch,
    node: process.versions.node,
    compiler: compilerText(compiler),
    inputs: hashes.inputs,
  });
}

/** Loads the addon in a child process and asks it who it is: a crash there is a sentence here. */
async function proveAddon(root, { log, onStart }) {
  const addon = path.join(root, ADDON);
  if (!existsSync(addon)) throw new SetupError(`The build ended without an error, but ${addon} is not there.`, { log });
  const code = 'process.stdout.write(JSON.stringify(require(process.argv[1]).info()))';
  const {
    code: status,
    signal,
    output,
    timedOut,
  } = await run(process.execPath, ['-e', code, addon], {
    cwd: root,
    log,
    onStart,
    timeout: 120_000,
  });
  if (status === 0) return;
  const why = timedOut
    ? 'it did not answer within two minutes'
    : signal !== null
      ? `it died of ${signal}`
      : 'it failed';
  throw new SetupError(
    `The addon was built but does not work: loaded in a process of its own, ${why}. If LibTorch or the system was changed, run \`node scripts/setup.mjs --force\`.`,
    {
      lines: output
        .split('\n')
        .filter((line) => /Error|error|cannot|undefined/.test(line))
        .slice(0, 6),
      log,
    },
  );
}
