import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { FeatureFile } from '../../lib/features/store.js';
import { openCheckpoints } from '../../lib/modes/checkpoints.js';
import { getAddon } from '../../lib/native/load.js';
import { evaluateOod } from '../../lib/run/run-checkpoints.js';
import { writeCifar } from '../helpers/cifar.js';
import { CIFAR_TRANSFORM, extractOptions, failure, open, quiet } from '../helpers/native.js';
import { relativeError } from '../helpers/networks.js';

/** Made by make_script_fixtures.py with Python PyTorch. */
const expected: { logits: number[]; feature: number[] } = JSON.parse(
  readFileSync('test/fixtures/scripts/script.json', 'utf8'),
);
const script = (name: string) => `test/fixtures/scripts/${name}.pt`;
const arch = { name: 'script', width: 0, classes: 10, dropout: 0 };
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-scripts-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const cifar = writeCifar(join(folder, 'four'), 4);

async function extracted(name: string): Promise<FeatureFile> {
  const data = await open({ path: cifar });
  const output = join(folder, `${name}.safetensors`);
  await getAddon().extract(extractOptions(data.handle, script(name), output, 0, { arch }), quiet).done;
  return FeatureFile.open(output);
}

describe('a TorchScript module', () => {
  for (const name of ['logits', 'feature', 'map']) {
    it(`that returns ${name === 'logits' ? 'logits' : `(logits, ${name})`} gives what Python gives`, async () => {
      const file = await extracted(name);
      assert.ok(relativeError(await file.logits(), expected.logits) < 1e-5);
      assert.equal(file.penultimate, name === 'logits' ? '' : 'penultimate');
      if (name === 'logits') return;
      assert.ok(relativeError(await file.tensor('penultimate'), expected.feature) < 1e-5);
    });
  }

  it('tells its classes and the width of its feature', async () => {
    const probe = async (name: string) => {
      const options = { arch: { ...arch, classes: 0 }, checkpoint: script(name), size: 32 };
      const { seconds: _, ...given } = await getAddon().probe(options, quiet).done;
      return given;
    };
    assert.deepEqual(await probe('logits'), { classes: 10, penultimate: 0, stages: 0 });
    assert.deepEqual(await probe('map'), { classes: 10, penultimate: 6, stages: 0 });
  });

  it('that returns something else is refused with what it returns', async () => {
    const data = await open({ path: cifar });
    const options = extractOptions(data.handle, script('three'), join(folder, 'three'), 0, { arch });
    const error = await failure(getAddon().extract(options, quiet));
    assert.equal(error.code, 'E_CHECKPOINT');
    assert.match(error.message, /three\.pt: TorchScript module: expected .* found a tuple of 3\.$/);
  });

  it('with another number of classes than the data is refused', async () => {
    const data = await open({ path: cifar });
    const seven = { ...arch, classes: 7 };
    const error = await failure(
      getAddon().extract(
        extractOptions(data.handle, script('logits'), join(folder, 'seven'), 0, { arch: seven }),
        quiet,
      ),
    );
    assert.equal(error.code, 'E_CHECKPOINT');
    assert.match(error.message, /10 logits, expected 7/);
  });

  it('that is none is refused with the file', async () => {
    const error = await failure(getAddon().probe({ arch, checkpoint: 'package.json', size: 32 }, quiet));
    assert.equal(error.code, 'E_CHECKPOINT');
    assert.match(error.message, /^package\.json: expected a TorchScript module/);
  });

  it('goes through all detectors that need no more than it gives', async () => {
    const settings = {
      checkpoints: [],
      in: `cifar10:${cifar}`,
      out: [`far=cifar10:${cifar}?split=train`],
      preprocessing: 'cifar-resnet18',
      features: join(folder, 'features'),
      batchSize: 4,
      precision: 'float32' as const,
      threads: 1,
      workers: 1,
      ensembles: 'all' as const,
    };
    const detectors = async (name: string) => {
      const arch = `script:${script(name)}`;
      const { evaluation } = await evaluateOod({ ...settings, arch, detectors: undefined });
      return [...new Set(evaluation.rows.map(({ detector }) => detector))];
    };
    assert.deepEqual(await detectors('logits'), ['msp', 'odin', 'energy']);
    await assert.rejects(evaluateOod({ ...settings, arch: `script:${script('logits')}`, detectors: ['knn'] }), {
      code: 'E_CONFIG',
      message: /knn needs the network's penultimate feature, and .*logits\.pt returns logits alone/,
    });
    const withK = { ...settings, arch: `script:${script('feature')}`, detectors: ['msp', { knn: { k: 2 } }] };
    assert.equal((await evaluateOod(withK)).evaluation.rows.length, 2);
  });

  it('needs its preprocessing said', async () => {
    const arch = `script:${script('logits')}`;
    await assert.rejects(openCheckpoints([], { arch }), { code: 'E_CONFIG', message: /give --preprocessing ARCH/ });
    const { mean, std } = CIFAR_TRANSFORM;
    const set = await openCheckpoints([], { arch, transform: { crop: 32, mean, std } });
    const [member] = set.members;
    assert.deepEqual(member?.transform, CIFAR_TRANSFORM);
    assert.deepEqual([member?.arch.id, member?.hasPenultimate, member?.classes], ['script-logits', false, 10]);
  });
});
