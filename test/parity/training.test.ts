import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { z } from 'zod';
import type { trainSchema } from '../../lib/config/recipes.js';
import type { EpochEvent, Precision } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { writeCifar } from '../helpers/cifar.js';
import { extractOne } from '../helpers/features.js';
import { CIFAR_TRANSFORM, open, recipe, trainOptions } from '../helpers/native.js';
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

interface RecipeFixture {
  settings: z.input<typeof trainSchema>;
  losses: number[];
  rates: number[];
}

const fixtures: { cases: Fixture[]; recipes: RecipeFixture[] } = JSON.parse(
  readFileSync('test/fixtures/training.json', 'utf8'),
);
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
        ...recipe({ cropPadding: 0, flip: false, epochs: losses.length, batchSize: 64, learningRate: 0.02 }),
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

for (const { settings, losses, rates } of fixtures.recipes) {
  it(`${settings.optimizer ?? 'sgd'} along ${settings.schedule} takes the steps of torch.optim`, async () => {
    const data = await open({ path: writeCifar(join(folder, 'recipes'), 64) });
    const epochs: EpochEvent[] = [];
    const options = trainOptions(data.handle, data.handle, join(folder, 'recipe.safetensors'), {
      arch: { name: 'cifar-resnet18', width: 8, classes: 10, dropout: 0 },
      seed: 3,
      ...recipe({ cropPadding: 0, flip: false, batchSize: 64, ...settings }),
    });
    await getAddon().train(options, (event) => void (event.type === 'epoch' && epochs.push(event))).done;
    for (const [i, { learningRate, loss }] of epochs.entries()) {
      assert.ok(
        Math.abs(learningRate - (rates[i] as number)) < 1e-12,
        `epoch ${i}: ${learningRate}, PyTorch ${rates[i]}`,
      );
      const error = Math.abs(loss - (losses[i] as number)) / (losses[i] as number);
      assert.ok(error < 5e-5 * 10 ** i, `epoch ${i}: ${loss}, PyTorch ${losses[i]}`);
    }
    assert.equal(epochs.length, losses.length);
  });
}

describe('mixed batches', () => {
  const train = async (name: string, settings: z.input<typeof trainSchema>, images = 64, seed = 5) => {
    const data = await open({ path: writeCifar(join(folder, `mixed-${images}`), images) });
    const epochs: EpochEvent[] = [];
    const options = trainOptions(data.handle, data.handle, join(folder, name), {
      arch: { name: 'cifar-resnet18', width: 8, classes: 10, dropout: 0 },
      seed,
      ...recipe({ cropPadding: 0, flip: false, batchSize: images, epochs: 3, learningRate: 0.02, ...settings }),
    });
    await getAddon().train(options, (event) => void (event.type === 'epoch' && epochs.push(event))).done;
    return epochs.map(({ loss }) => loss);
  };

  for (const kind of ['mixup', 'cutmix'] as const) {
    it(`${kind} draws from the seed, and changes what is learnt`, async () => {
      const plain = await train('plain', {});
      const mixed = await train('mixed', { [kind]: 1 });
      assert.deepEqual(await train('again', { [kind]: 1 }), mixed);
      assert.notDeepEqual(await train('other', { [kind]: 1 }, 64, 6), mixed);
      // The first step's loss of ten classes at random weights, towards mixed labels.
      assert.ok(mixed[0] !== plain[0] && Math.abs((mixed[0] as number) - Math.log(10)) < 0.7, `${mixed[0]}`);
      assert.deepEqual(await train('never', { [kind]: 1, mixProbability: 0 }), plain);
    });

    it(`${kind} of an image with itself changes nothing`, async () => {
      const [plain, mixed] = [await train('one', {}, 1), await train('one-mixed', { [kind]: 0.4 }, 1)];
      for (const [i, loss] of mixed.entries()) {
        assert.ok(Math.abs(loss - (plain[i] as number)) < 1e-4 * (1 + (plain[i] as number)), `${loss}, ${plain[i]}`);
      }
    });
  }

  it('with smoothed labels and a share of nothing have the loss of smoothed labels', async () => {
    // Beta(α, α) of a tiny α is 0 or 1: each image is itself, or its partner with the partner's label.
    const smoothed = await train('smoothed', { labelSmoothing: 0.2 });
    const mixed = await train('smoothed-mixed', { labelSmoothing: 0.2, mixup: 1e-6 });
    assert.ok(Math.abs((mixed[0] as number) - (smoothed[0] as number)) < 1e-4, `${mixed[0]}, ${smoothed[0]}`);
  });
});

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

describe('a running mean of the weights', () => {
  const RATE = { schedule: 'step', stepEpochs: 100, learningRate: 0.02 } as const;
  const train = async (name: string, settings: z.input<typeof trainSchema>) => {
    const data = await open({ path: writeCifar(join(folder, 'mean'), 64) });
    const checkpoint = join(folder, `${name}.safetensors`);
    const events: EpochEvent[] = [];
    const options = trainOptions(data.handle, data.handle, checkpoint, {
      arch: { name: 'cifar-resnet18', width: 8, classes: 10, dropout: 0 },
      seed: 9,
      ...recipe({ cropPadding: 0, flip: false, batchSize: 64, ...RATE, ...settings }),
    });
    await getAddon().train(options, (event) => void (event.type === 'epoch' && events.push(event))).done;
    return { weights: readTensors(checkpoint).tensors, events };
  };

  it('begins with the initial weights, is what is kept and validated, and leaves the steps as they are', async () => {
    const initial = join(folder, 'mean-initial.safetensors');
    await initWeights({ name: 'cifar-resnet18', width: 8, classes: 10, dropout: 0 }, 9, initial);
    const plain = [readTensors(initial).tensors];
    for (const epochs of [1, 2]) plain.push((await train(`plain-${epochs}`, { epochs })).weights);
    const mean = await train('mean', { epochs: 2, ema: 0.75 });
    for (const [name, tensor] of mean.weights) {
      if (tensor.dtype === 'I64') continue;
      const [zero, one, two] = plain.map((weights) => floats(weights.get(name) as Tensor));
      // 0.75 · (0.75 · w0 + 0.25 · w1) + 0.25 · w2
      const expected = two?.map((w2, i) => 0.5625 * (zero?.[i] as number) + 0.1875 * (one?.[i] as number) + 0.25 * w2);
      assert.ok(relativeError(floats(tensor), expected as Float32Array) < 1e-5, name);
    }
    const without = await train('without', { epochs: 2 });
    assert.deepEqual(
      mean.events.map(({ loss }) => loss),
      without.events.map(({ loss }) => loss),
    );
    assert.notEqual(mean.events[1]?.testLoss, without.events[1]?.testLoss);
  });
});

describe('stochastic depth', () => {
  const train = async (name: string, dropPath: number, arch = 't2t-vit-7') => {
    const data = await open({ path: writeCifar(join(folder, 'depth'), 8) });
    const width = arch === 't2t-vit-7' ? 64 : 8;
    const events: EpochEvent[] = [];
    const options = trainOptions(data.handle, data.handle, join(folder, `${name}.safetensors`), {
      arch: { name: arch, width, classes: 10, dropout: 0 },
      ...recipe({ batchSize: 8, epochs: 1, learningRate: 0.001, cropPadding: 0, dropPath }),
      transform: { ...CIFAR_TRANSFORM, resize: arch === 't2t-vit-7' ? 224 : 32, crop: arch === 't2t-vit-7' ? 224 : 32 },
    });
    await getAddon().train(options, (event) => void (event.type === 'epoch' && events.push(event))).done;
    return events[0] as EpochEvent;
  };

  it('draws from the seed, and shapes training alone', async () => {
    const [plain, dropped, again] = [await train('all', 0), await train('some', 0.9), await train('again', 0.9)];
    assert.notEqual(dropped.loss, plain.loss);
    assert.equal(again.loss, dropped.loss);
    assert.equal(again.testLoss, dropped.testLoss);
  });

  it('is refused where the network has none', async () => {
    await assert.rejects(train('none', 0.1, 'cifar-resnet18'), {
      code: 'E_CONFIG',
      message: /dropPath: this architecture has none/,
    });
  });
});
