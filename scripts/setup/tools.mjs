/** Finds the tools of the native build and proves that they will do. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { aptInstall, canInstall, missingSentence } from './packages.mjs';
import { run, SetupError, which } from './process.mjs';
import { atLeast, parseCompiler, parseVersion } from './versions.mjs';

/** g++ before clang++, plain names first, then the versioned ones that distributions offer beside an old default. */
const COMPILERS = ['c++', 'g++', 'clang++'].concat(
  [16, 15, 14, 13, 12, 11].map((major) => `g++-${major}`),
  [21, 20, 19, 18, 17, 16, 15, 14].map((major) => `clang++-${major}`),
);

/**
 * The compiler: `{ path, family, version, line, launcher }`, or `{ problem }` with a sentence where there is one that will
 * not do, or null where there is none. CXX decides where it is set; `CXX="ccache g++"` is understood.
 */
export async function findCompiler(env = process.env) {
  const words = (env.CXX ?? '').split(' ').filter((word) => word !== '');
  const launcher = words.length > 1 && /(^|\/)(ccache|sccache)$/.test(words[0]) ? words.shift() : null;
  const candidates = words.length > 0 ? [words[0]] : COMPILERS;
  let problem = null;
  for (const name of candidates) {
    const file = which(name, env.PATH);
    if (file === null) {
      if (words.length > 0) problem ??= `CXX names the compiler '${name}', which is not on this machine.`;
      continue;
    }
    const { code, output } = await run(file, ['--version'], { timeout: 20_000 });
    const line = output.split('\n')[0] ?? '';
    const found = code === 0 ? parseCompiler(line) : null;
    if (found?.supported) return { path: file, launcher, line, ...found };
    const what =
      found === null ? `is of no known kind ('${line.slice(0, 80)}')` : `is ${found.family} ${found.version}`;
    problem ??= `The C++ compiler ${file} ${what}; C++20 needs g++ 11 or newer, or clang 14: install one and name it in CXX (for instance CXX=g++-12).`;
  }
  return problem === null ? null : { problem };
}

/** The C compiler of the same family, as cmake-js wants to know both; null where there is none beside it. */
export function siblingC(compiler) {
  const base = path.basename(compiler.path);
  const name = base.startsWith('c++') ? 'cc' : base.replace('clang++', 'clang').replace('g++', 'gcc');
  return which(path.join(path.dirname(compiler.path), name));
}

async function findCmake() {
  const file = which('cmake');
  if (file === null) return null;
  const { output } = await run(file, ['--version'], { timeout: 20_000 });
  const version = parseVersion(output)?.join('.') ?? null;
  return version === null ? null : { path: file, version };
}

/**
 * Python: `{ path, version, pip, torch }`; `torch` is the folder of its torch package, or null. Nothing of torch is run:
 * importing it takes seconds, and the version stands in a file.
 */
export async function findPython({ needPip = false } = {}) {
  const wanted = process.env.PYTHON ? [process.env.PYTHON] : ['python3', '/usr/bin/python3', 'python'];
  const code = [
    'import sys, importlib.util as u, os',
    'def find(name):',
    '    try: s = u.find_spec(name)',
    '    except Exception: s = None',
    "    return os.path.dirname(s.origin) if s is not None and s.origin else ''",
    "print('%d.%d.%d' % sys.version_info[:3], find('pip'), find('torch'), sys.implementation.name, sep='\\n')",
  ].join('\n');
  let first = null;
  for (const name of wanted) {
    const file = which(name);
    if (file === null) continue;
    // -P (do not look into the working folder) is unknown before 3.11, so a neutral folder is used instead.
    const { code: status, output } = await run(file, ['-c', code], { cwd: os.tmpdir(), timeout: 30_000 });
    const lines = output.split('\n');
    if (status !== 0 || !atLeast(lines[0] ?? '', '3.0')) continue;
    const found = {
      path: file,
      version: lines[0],
      pip: lines[1] !== '',
      torch: lines[2] === '' ? null : lines[2],
      implementation: lines[3],
    };
    if (!needPip || found.pip) return found;
    first ??= found;
  }
  return first;
}

const HEADERS = {
  jpeg: {
    include:
      '#include <cstdio>\n#include <jpeglib.h>\n#ifndef LIBJPEG_TURBO_VERSION\n#error "not libjpeg-turbo"\n#endif\n',
    use: 'jpeg_error_mgr e; jpeg_std_error(&e);',
    link: '-ljpeg',
  },
  png: { include: '#include <png.h>\n', use: 'if (png_access_version_number() == 0) return 1;', link: '-lpng' },
  zlib: { include: '#include <zlib.h>\n', use: 'if (zlibVersion() == nullptr) return 1;', link: '-lz' },
};

/** Names of the image libraries whose headers or libraries a tiny program cannot be built with. */
export async function missingHeaders(compiler, { log, onStart } = {}) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mode-ensemble-'));
  const places = process.platform === 'darwin' ? ['/opt/homebrew', '/usr/local', '/opt/homebrew/opt/jpeg-turbo'] : [];
  const flags = places.flatMap((place) => [`-I${place}/include`, `-L${place}/lib`]);
  const builds = async (names) => {
    const source = path.join(folder, 'headers.cc');
    const parts = names.map((name) => HEADERS[name]);
    const body = parts.map(({ use }) => use).join(' ');
    writeFileSync(source, `${parts.map(({ include }) => include).join('')}int main() { ${body} return 0; }\n`);
    const args = ['-std=c++20', source, '-o', path.join(folder, 'headers'), ...flags, ...parts.map(({ link }) => link)];
    const { code } = await run(compiler.path, args, { log, onStart, timeout: 120_000 });
    return code === 0;
  };
  try {
    const names = Object.keys(HEADERS);
    if (await builds(names)) return [];
    const missing = [];
    for (const name of names) if (!(await builds([name]))) missing.push(name);
    return missing;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Everything that the build needs, or a SetupError of one sentence. `needs` tells what is wanted: `build` (compiler,
 * CMake, headers) and `pip`. As root on Debian, what is missing is installed first.
 */
export async function requireTools(needs, { console, log, onStart }) {
  let tools = await look(needs, { log, onStart });
  if (tools.missing.length > 0 && canInstall()) {
    await console.step(`installing system packages for ${tools.missing.join(', ')} with apt-get`, async () => {
      const fine = await aptInstall(tools.missing, { log, onStart });
      return fine ? 'installed' : 'apt-get failed';
    });
    tools = await look(needs, { log, onStart });
  }
  if (tools.missing.length > 0) {
    throw new SetupError(missingSentence(tools.missing), canInstall() ? { log } : {});
  }
  if (tools.compiler?.problem !== undefined) throw new SetupError(tools.compiler.problem);
  return tools;
}

async function look(needs, options) {
  const missing = [];
  const tools = { missing };
  if (needs.build) {
    tools.compiler = await findCompiler();
    tools.cmake = await findCmake();
    tools.generator = which('ninja') !== null ? 'Ninja' : 'Unix Makefiles';
    if (tools.compiler === null) missing.push('compiler');
    if (tools.cmake === null || !atLeast(tools.cmake.version, '3.18')) missing.push('cmake');
    if (which('ninja') === null && which('make') === null) missing.push('make');
    if (tools.compiler?.path !== undefined) missing.push(...(await missingHeaders(tools.compiler, options)));
    else if (tools.compiler === null && canInstall()) missing.push('jpeg', 'png', 'zlib');
  }
  if (needs.pip) {
    tools.python = await findPython({ needPip: true });
    if (tools.python === null) missing.push('python', 'pip');
    else if (!tools.python.pip) missing.push('pip');
  }
  return tools;
}

/** Threads for the build: every core, but no more than memory allows (a LibTorch translation unit takes about 1.5 GB). */
export function buildThreads(env = process.env) {
  const asked = Number(env.CMAKE_BUILD_PARALLEL_LEVEL);
  if (Number.isInteger(asked) && asked > 0) return asked;
  return Math.max(1, Math.min(os.availableParallelism(), Math.floor(os.totalmem() / 1.5e9)));
}

/** Where a compiler cache is to be had, its path. */
export function compilerCache(compiler) {
  return compiler.launcher !== null ? which(compiler.launcher) : which('ccache');
}
