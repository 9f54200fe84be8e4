import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { ModeEnsembleError } from '../../lib/config/errors.js';
import { type AddonRecord, addonPath, getAddon, loadAddon } from '../../lib/native/load.js';

describe('loading the addon', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(path.join(os.tmpdir(), 'mode-ensemble-load-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  /** An addon that is no addon, beside a record that fits this machine but for `changes`. */
  function build(at: string, changes: Partial<AddonRecord> = {}): void {
    const libtorch = path.join(at, 'torch');
    mkdirSync(path.dirname(addonPath(at)), { recursive: true });
    mkdirSync(libtorch, { recursive: true });
    writeFileSync(path.join(libtorch, 'version.py'), "__version__ = '2.13.0+cpu'\n");
    writeFileSync(addonPath(at), 'not an addon');
    const record: AddonRecord = {
      libtorch: { path: libtorch, version: '2.13.0+cpu', cuda: null },
      napi: 9,
      platform: process.platform,
      arch: process.arch,
      node: process.versions.node,
      compiler: 'c++',
      inputs: '',
      ...changes,
    };
    writeFileSync(addonPath(at).replace(/\.node$/, '.json'), JSON.stringify(record));
  }

  function refuses(at: string, why: RegExp, run = 'npm run setup'): void {
    assert.throws(
      () => loadAddon(at),
      (error: unknown) => {
        assert.ok(error instanceof ModeEnsembleError);
        assert.equal(error.code, 'E_ADDON');
        assert.match(error.message, why);
        assert.ok(error.message.includes(addonPath(at)), 'says what was tried');
        assert.ok(error.message.includes(`Run \`${run}\``), 'says what to run');
        return true;
      },
    );
  }

  test('unbuilt', () => refuses(root, /it has not been built/));

  test('unbuilt, installed as a dependency', () => {
    refuses(
      path.join(root, 'node_modules', 'mode-ensemble'),
      /it has not been built/,
      'node node_modules/mode-ensemble/scripts/setup.mjs',
    );
  });

  test('half built', () => {
    build(root);
    rmSync(addonPath(root).replace(/\.node$/, '.json'));
    refuses(root, /its build was not finished/);
  });

  test('built for another machine', () => {
    build(root, { arch: 'pdp11' });
    refuses(root, new RegExp(`built for ${process.platform} pdp11, and this is ${process.platform} ${process.arch}`));
  });

  test('built for a newer Node', () => {
    build(root, { napi: 99 });
    refuses(root, /needs Node-API 99, and this Node/);
  });

  test('LibTorch gone', () => {
    build(root);
    rmSync(path.join(root, 'torch'), { recursive: true });
    refuses(root, /LibTorch 2\.13\.0\+cpu, which it was built with, is no longer in/);
  });

  test('LibTorch exchanged', () => {
    build(root);
    writeFileSync(path.join(root, 'torch', 'version.py'), "__version__ = '2.9.1'\n");
    refuses(root, /built with LibTorch 2\.13\.0\+cpu, and .* now holds 2\.9\.1/);
  });

  test("the loader's own words are passed on", () => {
    build(root);
    refuses(root, /the system says: .*(too short|invalid ELF|not a mach-o|slice)/i);
  });

  test('the real one loads, once', () => {
    const addon = getAddon();
    assert.equal(getAddon(), addon);
    assert.match(addon.info().libtorch, /^2\.\d+/);
  });
});
