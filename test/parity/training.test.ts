import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { EpochEvent, Precision } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { writeCifar } from '../helpers/cifar.js';
import { extractOne } from '../helpers/features.js';
import { AUGMENT, open, trainOptions } from '../helpers/native.js';
import { initWeights, relativeError } from '../helpers/networks.js';
import { floats, readTensors, type Tensor } from '../helpers/safetensors.js';

/** Made by make_training_fixtures.py with Python PyTorch. */
interface Fixture {
  arch: string;
  seed: number;
  width: number;
  logits: number[];
  stages: number[][];
  losses: number[];
  rates: number[];
  /** Tensors of the outermost batch norm after training. */
  statistics: Record<string, number[]>;
}

const fixtures: { cases: Fixture[] } = JSON.parse(readFileSync('test/fixtures/training.json', 'utf8'));
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-training-'));
after(() => rmSync(folder, { recursive: true, force: true }));

for (const fixture of fixtures.cases) {
  describe(`${fixture.arch}, width ${fixture.width}, seed ${fixture.seed}`, () => {
    const { seed, width, logits, stages, losses, rates } = fixture;
    const arch = { name: fixture.arch, width, classes: 10, dropout: 0 };

    async function extract(precision: Precision) {
      const checkpoint = join(folder, 'initial.safetensors');
      await initWeights(arch, seed, checkpoint);
      const data = await open({ path: writeCifar(join(folder, 'four'), 4) });
      return extractOne(data.handle, checkpoint, join(folder, precision), width, { arch, precision });
    }

    it('gives the logits and pooled stages of PyTorch (relative error below 1e-5)', async () => {
      const file = await extract('float32');
      assert.ok(relativeError(await file.logits(), logits) < 1e-5);
      for (const [k, stage] of stages.entries()) {
        assert.ok(relativeError(await file.tensor(`stage${k + 1}`), stage) < 1e-5, `stage ${k + 1}`);
      }
      assert.deepEqual([...(await file.labels())], [0, 1, 2, 3]);
    });

    it('in bfloat16 gives the same within 5 %', async () => {
      const error = relativeError(await (await extract('bfloat16')).logits(), logits);
      assert.ok(error > 1e-6 && error < 0.05, `relative error ${error}`);
    });

    // Rounding differences grow from step to step; 64 images in one batch, so that the loader's order is no matter.
    it('trains with the losses, learning rates and running statistics of torch.optim', async () => {
      const data = await open({ path: writeCifar(join(folder, 'sixty-four'), 64) });
      const checkpoint = join(folder, 'trained.safetensors');
      const epochs: EpochEvent[] = [];
      const options = trainOptions(data.handle, data.handle, checkpoint, {
        arch,
        seed,
        augment: { ...AUGMENT, cropPadding: 0, flip: false },
        epochs: losses.length,
        batchSize: 64,
        learningRate: 0.02,
      });
      await getAddon().train(options, (event) => void (event.type === 'epoch' && epochs.push(event))).done;
      for (const [i, loss] of losses.entries()) {
        const found = epochs[i] as EpochEvent;
        assert.ok(Math.abs(found.learningRate - (rates[i] as number)) < 1e-12);
        assert.ok(Math.abs(found.loss - loss) / loss < 5e-5 * 10 ** i, `step ${i}: ${found.loss}, PyTorch ${loss}`);
      }
      const { tensors } = readTensors(checkpoint);
      for (const [name, values] of Object.entries(fixture.statistics)) {
        const error = relativeError(floats(tensors.get(name) as Tensor), values);
        assert.ok(error < 1e-2, `${name}: relative error ${error}`);
      }
    });
  });
}

describe('dropout', () => {
  it('draws from the seed: another rate makes other weights, the same one the same bytes', async () => {
    const data = await open({ path: writeCifar(join(folder, 'thirty-two'), 32) });
    const train = async (name: string, dropout: number, seed: number) => {
      const checkpoint = join(folder, name);
      const arch = { name: 'wrn-10-1', width: 16, classes: 10, dropout };
      await getAddon().train(trainOptions(data.handle, data.handle, checkpoint, { arch, seed }), () => {}).done;
      return readFileSync(checkpoint);
    };
    const first = await train('first', 0.3, 7);
    assert.ok(first.equals(await train('second', 0.3, 7)));
    assert.ok(!first.equals(await train('third', 0, 7)));
    assert.ok(!first.equals(await train('fourth', 0.3, 8)));
  });
});
