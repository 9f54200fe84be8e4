/** The parts of set-up that only decide: versions, where LibTorch comes from, what pip is asked, what a stamp covers. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

// Set-up runs before anything is compiled, so it is plain JavaScript without types.
const part = (name: string): Promise<any> =>
  import(new URL(`../../../scripts/setup/${name}.mjs`, import.meta.url).href);
const versions = await part('versions');
const libtorch = await part('libtorch');
const pip = await part('pip');
const stamp = await part('stamp');
const npm = await part('npm');
const native = await part('native');
const packages = await part('packages');
const privateCopy = await part('private-copy');
const lock = await part('lock');

let folder: string;
before(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'mode-ensemble-setup-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

function put(name: string, content = ''): string {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
}

/** A folder that looks like LibTorch's as far as set-up looks. */
function fakeTorch(name: string, version: string, { cuda = 'None', config = '' } = {}): string {
  put(`${name}/share/cmake/Torch/TorchConfig.cmake`, config);
  put(`${name}/version.py`, `from typing import Optional\n__version__ = '${version}'\ncuda: Optional[str] = ${cuda}\n`);
  return path.join(folder, name);
}

describe('versions', () => {
  test('compilers are told apart by the first line they print', () => {
    const lines: [string, string, string, boolean][] = [
      ['g++ (Debian 12.2.0-14+deb12u1) 12.2.0', 'g++', '12.2.0', true],
      ['c++ (Ubuntu 9.4.0-1ubuntu1~20.04.2) 9.4.0', 'g++', '9.4.0', false],
      ['g++ (GCC) 14.2.1 20240912 (Red Hat 14.2.1-3)', 'g++', '14.2.1', true],
      ['x86_64-conda-linux-gnu-c++ (conda-forge gcc 11.4.0-13) 11.4.0', 'g++', '11.4.0', true],
      ['Ubuntu clang version 14.0.0-1ubuntu1.1', 'clang', '14.0.0', true],
      ['Debian clang version 13.0.1-6', 'clang', '13.0.1', false],
      ['Apple clang version 15.0.0 (clang-1500.3.9.4)', 'Apple clang', '15.0.0', true],
    ];
    for (const [line, family, version, supported] of lines) {
      assert.deepEqual(versions.parseCompiler(line), { family, version, supported }, line);
    }
    assert.equal(versions.parseCompiler('icpx (Intel) 2024'), null);
  });

  test('a version is compared number by number', () => {
    assert.equal(versions.atLeast('2.10.0', '2.8'), true);
    assert.equal(versions.atLeast('2.7.1+cu126', '2.8'), false);
    assert.equal(versions.atLeast('20.19.0', '20.19'), true);
    assert.equal(versions.atLeast('no version', '1.0'), false);
  });
});

describe('where LibTorch comes from', () => {
  const judge = (at: string) =>
    at.includes('bad') ? { path: at, problem: 'it is 1.13' } : { path: at, version: '2.9' };
  const look = (env: object, pythonTorch: string | null, copy: string | null) =>
    libtorch.lookUp({ env, pythonTorch, privateCopy: copy, judge });

  test('LIBTORCH, then Python, then the private copy', () => {
    assert.equal(look({ LIBTORCH: '/a' }, '/py', '/copy').found.path, '/a');
    assert.equal(look({}, '/py', '/copy').found.path, '/py');
    assert.equal(look({}, null, '/copy').found.path, '/copy');
    assert.equal(look({ LIBTORCH_USE_PYTORCH: '0' }, '/py', '/copy').found.path, '/copy');
    assert.equal(look({}, null, null).found, null);
  });

  test('a torch that will not do is passed over in one line', () => {
    const { found, notes } = look({}, '/py/bad', '/copy');
    assert.equal(found.path, '/copy');
    assert.deepEqual(notes, ["The active Python's torch (/py/bad) is not used: it is 1.13."]);
  });

  test('what was asked for by name and will not do is an error that says what to do', () => {
    assert.throws(() => look({ LIBTORCH: '/bad' }, '/py', null), /LIBTORCH is \/bad, but it is 1\.13: name a LibTorch/);
    assert.throws(() => look({ LIBTORCH_USE_PYTORCH: '1' }, '/bad', '/copy'), /Install a newer one/);
    assert.throws(() => look({ LIBTORCH_USE_PYTORCH: '1' }, null, '/copy'), /has no torch/);
  });

  test('a folder is judged by its own files', () => {
    const good = fakeTorch('good', '2.13.0+cpu');
    assert.deepEqual(libtorch.describe(good, { nvcc: null }), { path: good, version: '2.13.0+cpu', cuda: null });
    assert.match(libtorch.describe(fakeTorch('old', '2.7.1'), { nvcc: null }).problem, /2\.8\.0 or newer/);
    const abi = fakeTorch('abi', '2.8.0', { config: 'set(F "-D_GLIBCXX_USE_CXX11_ABI=0")' });
    assert.match(libtorch.describe(abi, { nvcc: null }).problem, /old C\+\+ ABI/);
    const cuda = fakeTorch('cuda', '2.11.0+cu130', { cuda: "'13.0'" });
    assert.match(libtorch.describe(cuda, { nvcc: null }).problem, /nvcc/);
    assert.equal(libtorch.describe(cuda, { nvcc: '/usr/bin/nvcc' }).cuda, '13.0');
    assert.match(libtorch.describe(path.join(folder, 'nowhere')).problem, /no share\/cmake\/Torch/);
  });

  test('a zip of LibTorch is found one folder down and read from its own file', () => {
    put('zip/libtorch/share/cmake/Torch/TorchConfig.cmake');
    put('zip/libtorch/build-version', '2.9.1+cu128\n');
    const found = libtorch.describe(path.join(folder, 'zip'), { nvcc: '/nvcc' });
    assert.deepEqual(found, { path: path.join(folder, 'zip/libtorch'), version: '2.9.1+cu128', cuda: '12.8' });
  });

  test('the CUDA build is chosen only where driver and toolkit are', () => {
    const choose = (env: object, driver: boolean, nvcc: string | null) => libtorch.chooseVariant(env, { driver, nvcc });
    assert.equal(choose({}, false, '/nvcc').variant, 'cpu');
    assert.equal(choose({}, true, null).variant, 'cpu');
    assert.equal(choose({}, true, '/nvcc').variant, 'cuda');
    assert.equal(choose({ LIBTORCH_VARIANT: 'cpu' }, true, '/nvcc').variant, 'cpu');
    assert.throws(() => choose({ LIBTORCH_VARIANT: 'cuda' }, true, null), /CUDA toolkit/);
    assert.throws(() => choose({ LIBTORCH_VARIANT: 'gpu' }, false, null), /must be cpu or cuda/);
  });
});

describe('the private copy', () => {
  test("pip is asked for PyTorch's CPU index first, and never blindly for the CUDA build", () => {
    const linux = pip.pipAttempts({ version: '2.13.0', variant: 'cpu', platform: 'linux' });
    assert.deepEqual(
      linux.map(({ spec, guard }: { spec: string; guard: boolean }) => [spec, guard]),
      [
        ['torch==2.13.0', false],
        ['torch==2.13.0+cpu', false],
        ['torch==2.13.0', true],
      ],
    );
    assert.ok(linux[0].args.includes('https://download.pytorch.org/whl/cpu'));
    assert.deepEqual(pip.pipAttempts({ version: '2.13.0', variant: 'cuda', platform: 'linux' })[0].args, []);
  });

  test("pip's failures are told apart", () => {
    const none = 'ERROR: No matching distribution found for torch==2.13.0';
    assert.equal(pip.classify(none), 'none');
    assert.equal(pip.classify(`WARNING: … Failed to establish a new connection: [Errno -2]\n${none}`), 'network');
    assert.equal(pip.classify('ERROR: Could not install packages due to an OSError: [Errno 28]'), 'room');
    assert.equal(pip.classify('ERROR: THESE PACKAGES DO NOT MATCH THE HASHES'), 'other');
  });

  test('the CUDA build is known by what it needs', () => {
    const report = (needs: string[]) => ({ install: [{ metadata: { version: '2.13.0', requires_dist: needs } }] });
    assert.equal(pip.cudaBuildOffered(report(['filelock', 'nvidia-cublas==13.1; platform_system == "Linux"'])), true);
    assert.equal(pip.cudaBuildOffered(report(['filelock', 'optree>=0.13.0; extra == "optree"'])), false);
    assert.equal(pip.cudaBuildOffered(null), false);
  });

  test('the cache folder follows the variables', () => {
    const first = (env: object) => privateCopy.cacheFolders(env, '/project')[0];
    assert.equal(first({ HOME: '/h' }), '/h/.cache/mode-ensemble');
    assert.equal(first({ HOME: '/h', XDG_CACHE_HOME: '/x' }), '/x/mode-ensemble');
    assert.equal(first({ HOME: '/h', XDG_CACHE_HOME: '/x', MODE_ENSEMBLE_CACHE: '/m' }), '/m');
    assert.deepEqual(privateCopy.cacheFolders({ HOME: '/h' }, '/project')[1], '/project/.cache');
  });

  test('a copy without a mark is used only when every file of the wheel is there in full', () => {
    const copy = path.join(folder, 'copy');
    fakeTorch('copy/torch', '2.13.0+cpu');
    put('copy/torch/lib/libc10.so', 'four');
    const record = (size: number) =>
      put('copy/torch-2.13.0+cpu.dist-info/RECORD', `torch/lib/libc10.so,sha256=x,${size}\ntorch/gone.py,sha256=y,3\n`);
    record(5);
    assert.equal(privateCopy.isWhole(copy), false);
    record(4);
    assert.equal(privateCopy.isWhole(copy), true);
    assert.ok(existsSync(path.join(copy, 'mode-ensemble.json')));
    rmSync(path.join(copy, 'torch'), { recursive: true });
    assert.equal(privateCopy.isWhole(copy), false);
  });

  test('no room is said before anything is fetched', async () => {
    const env = { MODE_ENSEMBLE_CACHE: path.join(folder, 'full') };
    const options = { env, root: folder, variant: 'cpu', python: {}, free: () => 2e8, cleanUp: new Set() };
    await assert.rejects(privateCopy.makeCopy(options), /needs about 1 GB in .*full.*0\.2 GB are free: make room/);
  });
});

describe('stamps', () => {
  test('a hash covers names, contents and facts', () => {
    put('tree/a.cc', 'one');
    put('tree/sub/b.cc', 'two');
    put('tree/note.md', 'not read');
    const root = path.join(folder, 'tree');
    const list = () => stamp.listFiles(root, ['sub', 'a.cc'], (name: string) => name.endsWith('.cc'));
    assert.deepEqual(list(), ['a.cc', 'sub/b.cc']);
    const hash = (facts = {}) => stamp.hashInputs(root, list(), facts);
    const first = hash();
    assert.equal(hash(), first);
    assert.notEqual(hash({ compiler: 'other' }), first);
    put('tree/sub/b.cc', 'TWO');
    const changed = hash();
    assert.notEqual(changed, first);
    put('tree/sub/c.cc', '');
    assert.notEqual(hash(), changed);
  });

  test('node_modules is taken as it is only when it holds what the lock file says', () => {
    const entry = (version: string) => ({ version, integrity: `sha512-${version}` });
    const lockFile = {
      packages: { '': {}, 'node_modules/a': entry('1'), 'node_modules/b': { ...entry('2'), optional: true } },
    };
    assert.equal(npm.matchesLock(lockFile, { packages: { 'node_modules/a': entry('1') } }), true);
    assert.equal(npm.matchesLock(lockFile, { packages: { 'node_modules/a': entry('3') } }), false);
    assert.equal(npm.matchesLock(lockFile, null), false);
  });
});

describe('what a person reads', () => {
  test('one sentence names what is missing and the command that installs it', () => {
    assert.equal(
      packages.missingSentence(['cmake', 'jpeg'], 'apt', { root: false }),
      "Missing: CMake 3.18 or newer and libjpeg-turbo's headers. Install with `sudo apt-get update && sudo apt-get install -y cmake libjpeg-dev`, then run set-up again.",
    );
    assert.match(packages.missingSentence(['png'], 'dnf', { root: true }), /`dnf install -y libpng-devel`/);
    assert.match(packages.missingSentence(['pip'], null), /\(apt\), or .*\(dnf\), or `brew install python3` \(brew\)/);
  });

  test('a failed build is shown from its first error on', () => {
    const output = [
      '[1/9] Building',
      '/x/c++ -o a',
      "a.cc:3:1: error: 'foo' was not declared",
      '  3 | foo();',
      'ninja: stopped',
    ];
    assert.deepEqual(native.firstErrors(output.join('\n'), 2), output.slice(2, 4));
    assert.equal(
      native.firstErrors('CMake Error at CMakeLists.txt:1 (x):\n\n  no\n')[0],
      'CMake Error at CMakeLists.txt:1 (x):',
    );
    assert.equal(native.buildProgress('[37/120] Building CXX object'), '37 of 120');
    assert.equal(native.buildProgress('[ 42%] Building CXX object'), '42 %');
    assert.equal(native.buildProgress('Scanning'), null);
  });
});

describe('the lock', () => {
  test('holds a second set-up off until it is given back', async () => {
    const file = path.join(folder, 'held.lock');
    const first = await lock.acquireLock(file);
    let waited = false;
    const second = lock.acquireLock(file, {
      onWait: () => {
        waited = true;
        first.release();
      },
    });
    (await second).release();
    assert.equal(waited, true);
    assert.equal(existsSync(file), false);
  });

  test('of a process that is gone is taken over, and what that one left running is ended', async () => {
    const left: ChildProcess = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
    const gone = spawn(process.execPath, ['-e', '']);
    await once(gone, 'exit');
    const file = path.join(folder, 'stale.lock');
    const group = { pid: left.pid, mark: null };
    writeFileSync(file, JSON.stringify({ pid: gone.pid, mark: null, host: os.hostname(), group }));
    const ended = once(left, 'exit');
    const taken = await lock.acquireLock(file);
    const [, signal] = await ended;
    assert.equal(signal, 'SIGTERM');
    assert.equal(JSON.parse(readFileSync(file, 'utf8')).pid, process.pid);
    taken.release();
  });
});
