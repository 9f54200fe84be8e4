/** What only a GPU can run is at least compiled: kernels by nvcc, the code around them by the addon's compiler. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after, describe, it } from 'node:test';
import { readAddonRecord } from '../../lib/native/load.js';

/** The real nvcc, beside which its headers are; undefined where there is none. */
function findNvcc(): { nvcc: string; include: string } | undefined {
  const { CUDA_HOME, CUDA_PATH, PATH = '' } = process.env;
  const homes = [CUDA_HOME, CUDA_PATH, '/usr/local/cuda'].flatMap((home) => (home ? [join(home, 'bin')] : []));
  for (const folder of [...homes, ...PATH.split(':')]) {
    const nvcc = join(folder, 'nvcc');
    if (!existsSync(nvcc)) continue;
    const include = join(dirname(dirname(realpathSync(nvcc))), 'include');
    if (existsSync(join(include, 'cuda_runtime_api.h'))) return { nvcc, include };
  }
  return undefined;
}

const found = findNvcc();
const record = readAddonRecord();
const skip = found && record ? false : 'there is no CUDA toolkit (nvcc) here';
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-cuda-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function compiles(command: string, args: readonly string[]): void {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', timeout: 300_000 });
  assert.equal(status, 0, `${command} ${args.join(' ')}\n${error ?? ''}${stdout}${stderr}`);
}

describe('native/cuda', { skip }, () => {
  const { nvcc, include } = found ?? { nvcc: '', include: '' };
  const kernels = readdirSync('native/cuda').filter((name) => name.endsWith('.cu'));
  // The files that a build without CUDA leaves out.
  const [, list = ''] = /set\(CUDA_SOURCES ([^)]*)\)/.exec(readFileSync('CMakeLists.txt', 'utf8')) ?? [];
  const sources = list.replaceAll('${NATIVE}', 'native').split(/\s+/);

  it('has kernels, and code around them', () => {
    assert.ok(kernels.length > 0);
    assert.ok(sources.length >= 3 && sources.every((name) => existsSync(name)), list);
  });

  for (const name of kernels) {
    it(`${name} is CUDA, from the oldest GPU to later ones`, () => {
      const architectures = ['-gencode=arch=compute_75,code=sm_75', '-gencode=arch=compute_90,code=[sm_90,compute_90]'];
      const strict = ['-Werror', 'all-warnings', '-Xcompiler', '-Wall,-Wextra'];
      const output = join(folder, `${name}.o`);
      compiles(nvcc, [
        '-std=c++20',
        ...architectures,
        ...strict,
        '-Inative',
        '-c',
        join('native/cuda', name),
        '-o',
        output,
      ]);
    });
  }

  for (const source of sources) {
    it(`${source} is C++ beside LibTorch's CUDA headers`, { skip: source === '' ? 'none is listed' : false }, () => {
      const torch = resolve(record?.libtorch.path ?? '', 'include');
      // The CPU's wheel has all of these headers but one, which CMake writes for a CUDA build.
      const macros = 'c10/cuda/impl/cuda_cmake_macros.h';
      if (!existsSync(join(torch, macros))) {
        mkdirSync(join(folder, dirname(macros)), { recursive: true });
        writeFileSync(join(folder, macros), '#pragma once\n');
      }
      const compiler = record?.compiler.split(':')[0] ?? 'c++';
      const places = [torch, join(torch, 'torch/csrc/api/include'), folder, include].flatMap((at) => ['-isystem', at]);
      const strict = ['-Wall', '-Wextra', '-Werror', '-Wno-unused-parameter'];
      compiles(compiler, [
        '-std=c++20',
        '-fsyntax-only',
        '-DUSE_DISTRIBUTED',
        ...strict,
        '-Inative',
        ...places,
        source,
      ]);
    });
  }
});
