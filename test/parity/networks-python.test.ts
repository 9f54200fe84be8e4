import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gradientError, type NetworkFixture, relativeError, summaryError } from '../helpers/networks.js';
import { pythonWithTorch, runPython } from '../helpers/python.js';

const COMMITTED = 'test/fixtures/networks';
const all = readdirSync(COMMITTED).map((name) => name.replace(/\.json$/, ''));
/** One of each family; every architecture where continuous integration runs, or with MODE_ENSEMBLE_PARITY=all. */
const SOME = [
  'cifar-resnet18',
  'cifar-resnet20',
  'cifar-resnet20-b',
  'resnet18',
  'wrn-16-4',
  'densenet121',
  'cifar-densenet-bc-100',
  't2t-vit-7',
];
const names = process.env.MODE_ENSEMBLE_PARITY === 'all' || process.env.CI ? all : SOME;

const python = pythonWithTorch();
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-fixtures-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const read = (where: string, name: string): NetworkFixture =>
  JSON.parse(readFileSync(join(where, `${name}.json`), 'utf8'));

describe('the fixtures of networks, made again by Python', { skip: !python && 'no Python with torch' }, () => {
  before(() => {
    if (python) runPython(python, 'make_network_fixtures.py', '--output', folder, '--only', ...names);
  });

  for (const name of names) {
    it(`are those committed: ${name}`, () => {
      const { torch: _1, loose, outputs, reduced, ...now } = read(folder, name);
      const { torch: _2, loose: loose2, outputs: outputs2, reduced: reduced2, ...before } = read(COMMITTED, name);
      assert.deepEqual(now, before);
      assert.deepEqual({ ...reduced, logits: [] }, { ...reduced2, logits: [] });
      assert.ok(relativeError(reduced.logits, reduced2.logits) <= 1e-5);
      for (const [key, summary] of Object.entries({ ...loose2, ...outputs2 })) {
        const again = { ...loose, ...outputs }[key] as typeof summary;
        const error = key === 'input_gradient' ? gradientError(again, summary) : summaryError(again, summary);
        assert.ok(error <= 1e-5, `${key}: relative error ${error}`);
      }
    });
  }
});
