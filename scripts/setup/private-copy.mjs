/**
 * The private copy of LibTorch: taken out of PyTorch's wheel by pip, into a temporary folder that is renamed when it is
 * whole. No Python code of it is run. What lies under the final name is complete; anything else is never used.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statfsSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe } from './libtorch.mjs';
import { classify, cudaBuildOffered, otherPythons, pipAttempts } from './pip.mjs';
import { isAlive, run, SetupError, startMark, toolEnvironment } from './process.mjs';
import { readJson, writeJson } from './stamp.mjs';

export const VERSION = '2.13.0';
const MARK = 'mode-ensemble.json';
/** Bytes on disk while it is made, wheel included. */
const ROOM = { cpu: 1.1e9, cuda: 9e9 };
const ROOM_TEXT = { cpu: 'about 1 GB', cuda: 'about 9 GB' };

/** The user's cache folder first, then one in the project for those whose home cannot be written to. */
export function cacheFolders(env, root) {
  const own = env.MODE_ENSEMBLE_CACHE
    ? path.resolve(env.MODE_ENSEMBLE_CACHE)
    : path.join(env.XDG_CACHE_HOME || path.join(env.HOME || os.homedir(), '.cache'), 'mode-ensemble');
  return [own, path.join(root, '.cache')];
}

export function copyFolder(cache, variant) {
  return path.join(cache, 'libtorch', `${VERSION}-${variant}`);
}

/** The folder of a whole copy that is there already, or null. */
export function findCopy(env, root, variant) {
  for (const cache of cacheFolders(env, root)) {
    const folder = copyFolder(cache, variant);
    if (isWhole(folder)) return path.join(folder, 'torch');
  }
  return null;
}

/**
 * A copy of ours carries a mark that was written before the rename. One that pip was made to lay down by hand has none: it
 * is checked against the wheel's own list of files and sizes.
 */
export function isWhole(folder) {
  if (!existsSync(path.join(folder, 'torch/share/cmake/Torch'))) return false;
  if (readJson(path.join(folder, MARK))?.version === VERSION) return true;
  const record = readdirSync(folder).find((name) => /^torch-.*\.dist-info$/.test(name));
  if (record === undefined) return false;
  let rows;
  try {
    rows = readFileSync(path.join(folder, record, 'RECORD'), 'utf8').split('\n');
  } catch {
    return false;
  }
  for (const row of rows) {
    const match = /^(torch\/(?:lib|include|share|version\.py).*),[^,]*,(\d+)$/.exec(row.trim());
    if (match === null) continue;
    const name = match[1].replace(/^"|"$/g, '');
    if (statSync(path.join(folder, name), { throwIfNoEntry: false })?.size !== Number(match[2])) return false;
  }
  try {
    writeJson(path.join(folder, MARK), { version: VERSION, checked: new Date().toISOString() });
  } catch {
    // a cache that others own: it is checked again next time
  }
  return true;
}

/** The first cache folder that can be written to. */
function writableCache(env, root) {
  for (const cache of cacheFolders(env, root)) {
    try {
      const folder = path.join(cache, 'libtorch');
      mkdirSync(folder, { recursive: true });
      const probe = path.join(folder, `.probe-${process.pid}`);
      mkdirSync(probe);
      rmSync(probe, { recursive: true });
      return cache;
    } catch {
      // the next one
    }
  }
  const [own] = cacheFolders(env, root);
  throw new SetupError(
    `Neither ${own} nor the project's folder can be written to: name a folder in MODE_ENSEMBLE_CACHE.`,
  );
}

export function freeBytes(folder) {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** Removes what set-ups left that were killed in the middle of making a copy. */
function sweep(folder) {
  for (const name of readdirSync(folder)) {
    const match = /^\.tmp-(\d+)-(\w+)-/.exec(name);
    if (match === null || isAlive(Number(match[1]), match[2] === 'x' ? null : match[2])) continue;
    rmSync(path.join(folder, name), { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Makes the copy and returns its torch folder. `cleanUp` collects what has to be undone when set-up is interrupted. */
export async function makeCopy({ env, root, variant, python, log, onStart, onDetail, cleanUp, free = freeBytes }) {
  const cache = writableCache(env, root);
  const target = copyFolder(cache, variant);
  const parent = path.dirname(target);
  sweep(parent);
  const room = free(parent);
  if (room < ROOM[variant]) {
    throw new SetupError(
      `LibTorch needs ${ROOM_TEXT[variant]} in ${parent}, and ${(room / 1e9).toFixed(1)} GB are free: make room, or name a folder on a larger disk in MODE_ENSEMBLE_CACHE.`,
    );
  }
  const temporary = path.join(parent, `.tmp-${process.pid}-${startMark(process.pid) ?? 'x'}-${Date.now()}`);
  const remove = () => rmSync(temporary, { recursive: true, force: true, maxRetries: 3 });
  cleanUp.add(remove);
  try {
    await install({ folder: temporary, variant, python, env, log, onStart, onDetail });
    const made = path.join(temporary, 'site');
    const found = describe(path.join(made, 'torch'), { nvcc: 'not asked here' });
    if (found.problem !== undefined)
      throw new SetupError(`pip laid down a LibTorch that will not do: ${found.problem}.`, { log });
    if ((variant === 'cuda') !== (found.cuda !== null)) {
      throw new SetupError(
        variant === 'cpu'
          ? cudaOnly(found.version)
          : `pip offers only the CPU build of torch ${VERSION} (${found.version}) here: take LIBTORCH_VARIANT=cpu, or let pip reach an index with the CUDA build.`,
        { log },
      );
    }
    writeJson(path.join(made, MARK), { version: VERSION, variant, build: found.version });
    moveInPlace(made, target);
    return path.join(target, 'torch');
  } finally {
    remove();
    cleanUp.delete(remove);
  }
}

function cudaOnly(version) {
  return `pip offers only the CUDA build of torch ${VERSION} (${version}) here, which does not load without NVIDIA's packages: let pip reach PyTorch's CPU index (https://download.pytorch.org/whl/cpu) or a folder with the CPU wheel (PIP_FIND_LINKS), or take LIBTORCH_VARIANT=cuda.`;
}

/** Of two set-ups at once the first to finish wins; a broken folder under the final name gives way. */
function moveInPlace(made, target) {
  for (let tries = 0; ; tries++) {
    try {
      renameSync(made, target);
      return;
    } catch (error) {
      if (!['ENOTEMPTY', 'EEXIST'].includes(error.code) || tries === 3) throw error;
    }
    if (isWhole(target)) return;
    const aside = `${made}.broken-${tries}`;
    try {
      renameSync(target, aside);
    } catch {
      // another set-up was quicker
    }
  }
}

async function install({ folder, variant, python, env, log, onStart, onDetail }) {
  const attempts = pipAttempts({ version: VERSION, variant, platform: process.platform });
  const failures = [];
  let offered = null;
  const attempt = async (source, extra) => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(path.join(folder, 'tmp'), { recursive: true });
    // TMPDIR on the same disk: pip unpacks there first, and a small /tmp would not hold it.
    const pipEnv = toolEnvironment({
      ...env,
      TMPDIR: path.join(folder, 'tmp'),
      PIP_USER: '0',
      PIP_REQUIRE_VIRTUALENV: '0',
    });
    const call = (args) => run(python.path, ['-m', 'pip', ...args], { env: pipEnv, cwd: folder, log, onStart });
    const args = ['install', '--no-input', '--disable-pip-version-check', '--retries', '1', '--timeout', '10'];
    args.push('--no-compile', '--target', path.join(folder, 'site'), ...source.args, ...extra, source.spec);
    onDetail(source.label);
    if (source.guard) {
      const report = path.join(folder, 'report.json');
      const dry = await call([...args, '--dry-run', '--quiet', '--report', report]);
      if (dry.code === 0 && cudaBuildOffered(readJson(report))) {
        offered = readJson(report).install[0].metadata.version;
        return false;
      }
      // A pip before 22.2 cannot say beforehand; then the result is judged.
      if (dry.code !== 0 && !dry.output.includes('no such option')) {
        failures.push({ source, reason: classify(dry.output), output: dry.output });
        return false;
      }
    }
    const { code, output } = await call(args);
    if (code === 0) return true;
    failures.push({ source, reason: classify(output), output });
    if (failures.at(-1).reason === 'room') throw explain(failures, { log, folder });
    return false;
  };
  for (const source of attempts) {
    // pip's own index was out of reach a moment ago: of it only what lies in local folders is asked for again.
    const out = failures.some((one) => one.reason === 'network' && one.source.index === source.index);
    if (await attempt(source, out ? ['--no-index'] : [])) return;
  }
  if (offered !== null) throw new SetupError(cudaOnly(offered), { log });
  // The wheel of any CPython will do, as none of its Python code is run: other versions are asked for where an index
  // answered that it has none, and in local folders where an index was out of reach.
  const unfit = failures.filter(({ reason }) => reason === 'none').map(({ source }) => [source, []]);
  const far = failures.some(({ reason }) => reason === 'network');
  for (const [source, local] of far ? [...unfit, [attempts.at(-1), ['--no-index']]] : unfit) {
    for (const other of otherPythons(python.version)) {
      const fit = ['--python-version', other, '--implementation', 'cp', '--only-binary', ':all:'];
      if (await attempt(source, [...local, ...fit])) return;
    }
  }
  throw explain(failures, { log, folder });
}

function explain(failures, { log, folder }) {
  const reasons = new Set(failures.map(({ reason }) => reason));
  const words = failures[0].output.split('\n').filter((line) => line.startsWith('ERROR'));
  const others = 'or name a LibTorch that is there in LIBTORCH';
  if (reasons.has('room')) {
    return new SetupError(
      `The disk of ${path.dirname(folder)} was full before LibTorch was unpacked: make room (about 1 GB), ${others}.`,
      { log },
    );
  }
  if (reasons.has('network')) {
    return new SetupError(
      `pip could not reach an index with torch ${VERSION}: connect this machine (pip's proxy and index settings are honoured), name a folder with the wheel in PIP_FIND_LINKS, ${others}.`,
      { log },
    );
  }
  if (reasons.has('other'))
    return new SetupError(`pip could not install torch ${VERSION}.`, { log, lines: words.slice(0, 5) });
  return new SetupError(
    `No wheel of torch ${VERSION} fits this machine (${process.platform} ${process.arch}): ${others.replace('or ', '')} (${'2.8'} or newer).`,
    { log, lines: words.slice(0, 3) },
  );
}
