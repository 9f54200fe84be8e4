/** Which LibTorch to build against: LIBTORCH, then the active Python's torch, then a private copy. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { SetupError, which } from './process.mjs';
import { atLeast } from './versions.mjs';

export const MINIMUM = '2.8.0';

function text(...parts) {
  try {
    return readFileSync(path.join(...parts), 'utf8');
  } catch {
    return '';
  }
}

/** Version as its makers write it ("2.13.0+cpu"), or null. lib/native/load.ts reads the same files in the same order. */
export function readVersion(folder) {
  const python = /^__version__\s*(?::[^=]*)?=\s*['"]([^'"]+)['"]/m.exec(text(folder, 'version.py'));
  if (python !== null) return python[1];
  const zip = text(folder, 'build-version').trim();
  if (zip !== '') return zip;
  for (const header of ['include/torch/headeronly/version.h', 'include/torch/csrc/api/include/torch/version.h']) {
    const match = /#define TORCH_VERSION\s*\\?\s*"([^"]+)"/.exec(text(folder, header));
    if (match !== null) return match[1];
  }
  return null;
}

function readCuda(folder, version) {
  const python = text(folder, 'version.py');
  const named = /^cuda\s*(?::[^=]*)?=\s*['"]([^'"]+)['"]/m.exec(python);
  if (named !== null) return named[1];
  if (python !== '') return null;
  const label = /\+cu(\d+)(\d)$/.exec(version ?? '');
  if (label !== null) return `${label[1]}.${label[2]}`;
  return existsSync(path.join(folder, 'lib', 'libtorch_cuda.so')) ? 'of unknown version' : null;
}

/** `{ path, version, cuda }` of the LibTorch in a folder, with `problem` (the end of a sentence) where it will not do. */
export function describe(folder, { nvcc = findNvcc() } = {}) {
  const inner = ['', 'torch', 'libtorch'].find((name) => existsSync(path.join(folder, name, 'share/cmake/Torch')));
  if (inner === undefined) return { path: folder, problem: 'it has no share/cmake/Torch' };
  const at = path.resolve(folder, inner);
  const version = readVersion(at);
  const cuda = readCuda(at, version);
  const found = { path: at, version, cuda };
  if (version === null) return { ...found, problem: 'it does not say its version' };
  if (!atLeast(version, MINIMUM)) return { ...found, problem: `it is ${version}, and ${MINIMUM} or newer is needed` };
  if (text(at, 'share/cmake/Torch/TorchConfig.cmake').includes('_GLIBCXX_USE_CXX11_ABI=0')) {
    return { ...found, problem: `it (${version}) was built with the old C++ ABI, and the new one is needed` };
  }
  if (cuda !== null && nvcc === null) {
    return { ...found, problem: `it (${version}) is a CUDA build, and the CUDA toolkit (nvcc) is not on this machine` };
  }
  return found;
}

/** CMake finds the toolkit in these places too. */
export function findNvcc(env = process.env) {
  for (const home of [env.CUDA_HOME, env.CUDA_PATH]) {
    const file = home ? which(path.join(home, 'bin/nvcc')) : null;
    if (file !== null) return file;
  }
  return which('nvcc', env.PATH) ?? which('/usr/local/cuda/bin/nvcc');
}

/**
 * The first LibTorch that will do, with `source`; null where a private copy has to be made. `notes` says in one line each
 * why one was passed over. What was asked for by name (LIBTORCH, LIBTORCH_USE_PYTORCH=1) and will not do is an error.
 */
export function lookUp({ env, pythonTorch, privateCopy, judge = describe }) {
  const notes = [];
  if (env.LIBTORCH) {
    const found = judge(env.LIBTORCH);
    if (found.problem === undefined) return { found: { ...found, source: 'LIBTORCH' }, notes };
    throw new SetupError(
      `LIBTORCH is ${env.LIBTORCH}, but ${found.problem}: name a LibTorch ${MINIMUM} or newer (a folder with share/cmake/Torch), or unset LIBTORCH to let set-up provide one.`,
    );
  }
  const asked = env.LIBTORCH_USE_PYTORCH ?? '';
  if (asked !== '0' && pythonTorch !== null) {
    const found = judge(pythonTorch);
    if (found.problem === undefined) return { found: { ...found, source: "Python's torch" }, notes };
    const line = `The active Python's torch (${pythonTorch}) is not used: ${found.problem}.`;
    if (asked === '1') {
      throw new SetupError(
        `${line} Install a newer one (python3 -m pip install -U torch) or unset LIBTORCH_USE_PYTORCH.`,
      );
    }
    notes.push(line);
  } else if (asked === '1') {
    throw new SetupError(
      'LIBTORCH_USE_PYTORCH=1 is set, but the active Python has no torch: activate the environment that has it, or unset the variable.',
    );
  }
  if (privateCopy !== null) {
    const found = judge(privateCopy);
    if (found.problem === undefined) return { found: { ...found, source: 'private copy' }, notes };
    notes.push(`The private copy ${privateCopy} is not used: ${found.problem}.`);
  }
  return { found: null, notes };
}

/**
 * Which build a private copy is: what LIBTORCH_VARIANT says; else CUDA only where both a driver and the toolkit are seen,
 * since nothing can be built against the CUDA build without the toolkit.
 */
export function chooseVariant(env, { driver = existsSync('/proc/driver/nvidia/version'), nvcc = findNvcc(env) } = {}) {
  const asked = env.LIBTORCH_VARIANT ?? '';
  if (asked !== '' && asked !== 'cpu' && asked !== 'cuda') {
    throw new SetupError(`LIBTORCH_VARIANT is '${asked}'; it must be cpu or cuda.`);
  }
  if (asked === 'cuda' && nvcc === null) {
    throw new SetupError(
      'LIBTORCH_VARIANT=cuda needs the CUDA toolkit, and nvcc is not on this machine: install the toolkit and name it in CUDA_HOME, or take LIBTORCH_VARIANT=cpu.',
    );
  }
  if (asked !== '') return { variant: asked, asked: true };
  return { variant: driver && nvcc !== null ? 'cuda' : 'cpu', asked: false };
}
