import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { EpochEvent } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { writeCifar } from '../helpers/cifar.js';
import { extractOne } from '../helpers/features.js';
import { open, quiet, trainOptions } from '../helpers/native.js';

/** Made by make_network_fixtures.py with Python PyTorch. */
interface Fixture {
  seed: number;
  width: number;
  tensors: Record<string, string>;
  logits?: number[];
  stages?: number[][];
  losses?: number[];
  rates?: number[];
}

const fixtures: { cases: Fixture[] } = JSON.parse(readFileSync('test/fixtures/networks.json', 'utf8'));
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-networks-'));
after(() => rmSync(folder, { recursive: true, force: true }));

async function initialWeights({ seed, width }: Fixture): Promise<string> {
  const output = join(folder, `${seed}-${width}.safetensors`);
  const arch = { name: 'cifar-resnet18', width, classes: 10, dropout: 0 };
  await getAddon().initWeights({ arch, seed, output, metadata: {} }, quiet).done;
  return output;
}

/** max |a − b| / max |b| */
function relativeError(a: ArrayLike<number>, b: readonly number[]): number {
  assert.equal(a.length, b.length);
  let difference = 0;
  let scale = 0;
  for (const [i, value] of b.entries()) {
    difference = Math.max(difference, Math.abs((a[i] as number) - value));
    scale = Math.max(scale, Math.abs(value));
  }
  return difference / scale;
}

for (const fixture of fixtures.cases) {
  describe(`CIFAR ResNet-18, width ${fixture.width}, seed ${fixture.seed}`, () => {
    it('has the names and the very bits of the weights that torch.manual_seed gives', async () => {
      const bytes = readFileSync(await initialWeights(fixture));
      const length = Number(bytes.readBigUInt64LE(0));
      const header = JSON.parse(bytes.toString('utf8', 8, 8 + length));
      delete header.__metadata__;
      assert.deepEqual(Object.keys(header), Object.keys(fixture.tensors));
      for (const [name, expected] of Object.entries(fixture.tensors)) {
        const [begin, end] = header[name].data_offsets;
        const hash = createHash('sha256').update(bytes.subarray(8 + length + begin, 8 + length + end));
        assert.equal(hash.digest('hex'), expected, name);
      }
    });

    const { logits, stages, losses, rates } = fixture;
    if (!logits || !stages || !losses || !rates) return;

    it('gives the logits and pooled stages of PyTorch (relative error below 1e-5)', async () => {
      const checkpoint = await initialWeights(fixture);
      const data = await open({ path: writeCifar(join(folder, 'four'), 4) });
      const file = await extractOne(data.handle, checkpoint, join(folder, 'f.safetensors'), fixture.width);
      assert.ok(relativeError(await file.logits(), logits) < 1e-5);
      for (const [k, stage] of stages.entries()) {
        assert.ok(relativeError(await file.tensor(`stage${k + 1}`), stage) < 1e-5, `stage ${k + 1}`);
      }
      assert.deepEqual([...(await file.labels())], [0, 1, 2, 3]);
    });

    it('in bfloat16 gives the same within 5 %', async () => {
      const checkpoint = await initialWeights(fixture);
      const data = await open({ path: writeCifar(join(folder, 'four'), 4) });
      const overrides = { precision: 'bfloat16' as const };
      const file = await extractOne(data.handle, checkpoint, join(folder, 'b.safetensors'), fixture.width, overrides);
      const error = relativeError(await file.logits(), logits);
      assert.ok(error > 1e-6 && error < 0.05, `relative error ${error}`);
    });

    // Rounding differences grow from step to step; 64 images in one batch, so that the loader's order is no matter.
    it('trains with the losses and learning rates of torch.optim.SGD and CosineAnnealingLR', async () => {
      const data = await open({ path: writeCifar(join(folder, 'sixty-four'), 64) });
      const epochs: EpochEvent[] = [];
      const options = trainOptions(data.handle, data.handle, join(folder, `t${fixture.width}`), {
        arch: { name: 'cifar-resnet18', width: fixture.width, classes: 10, dropout: 0 },
        seed: fixture.seed,
        augment: { cropPadding: 0, flip: false },
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
    });
  });
}
