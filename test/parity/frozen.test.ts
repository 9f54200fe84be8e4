/** Extraction folds batch norms into convolutions: against the plain network, whose parity with PyTorch is parity/networks. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FeatureFile } from '../../lib/features/store.js';
import type { ArchOptions, OpenDataResult } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { writeCifar } from '../helpers/cifar.js';
import { CIFAR_TRANSFORM, extractOptions, open, quiet } from '../helpers/native.js';
import { initWeights, relativeError, trace, writeWithNorms } from '../helpers/networks.js';
import { float32, floats, int64, type Tensor, writeTensors } from '../helpers/safetensors.js';

const IMAGES = 4;
const SIDE = 32;
/** A network of each way in which norms and convolutions follow each other. */
const NETWORKS: readonly (readonly [name: string, width: number])[] = [
  ['cifar-resnet18', 8],
  ['cifar-resnet20', 8],
  ['resnet50', 8],
  ['wrn-10-1', 16],
  ['densenet121', 8],
  ['cifar-densenet-bc-100', 8],
];

const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-frozen-'));
const input = join(folder, 'input');
let data: OpenDataResult;

/** Writes the pixels that an extraction sees, for a trace. */
function writeInput({ handle }: OpenDataResult): void {
  const { mean, std } = CIFAR_TRANSFORM;
  const values = new Float32Array(IMAGES * 3 * SIDE * SIDE);
  for (let i = 0; i < IMAGES; i++) {
    const { pixels } = getAddon().readImage(handle, i, CIFAR_TRANSFORM);
    for (const [at, pixel] of pixels.entries()) {
      const channel = at % 3;
      const place = (i * 3 + channel) * SIDE * SIDE + Math.floor(at / 3);
      values[place] = (pixel / 255 - (mean[channel] as number)) / (std[channel] as number);
    }
  }
  writeTensors(input, { images: float32([IMAGES, 3, SIDE, SIDE], values), labels: int64([0, 1, 2, 3]) });
}

/** The average over space of [N, C, H, W]. */
function pooled(map: Tensor): number[] {
  const [n, c, ...sides] = map.shape as [number, number, ...number[]];
  const area = sides.reduce((product, side) => product * side, 1);
  const values = floats(map);
  return Array.from({ length: n * c }, (_, i) => {
    return values.subarray(i * area, (i + 1) * area).reduce((sum, value) => sum + value, 0) / area;
  });
}

before(async () => {
  data = await open({ path: writeCifar(join(folder, 'cifar'), IMAGES) });
  writeInput(data);
});
after(() => rmSync(folder, { recursive: true, force: true }));

describe('the frozen network of an extraction', () => {
  for (const [name, width] of NETWORKS) {
    it(`gives the logits and stages of the plain ${name} (relative error below 1e-5), and not the same bits`, async () => {
      const arch: ArchOptions = { name, width, classes: 10, dropout: 0 };
      const checkpoint = join(folder, `${name}.safetensors`);
      const output = join(folder, `${name}-features.safetensors`);
      writeWithNorms(checkpoint, await initWeights(arch, 1, checkpoint));
      const { tensors } = await trace(arch, { checkpoint }, input, join(folder, 'trace'));
      await getAddon().extract(extractOptions(data.handle, checkpoint, output, width, { arch, threads: 1 }), quiet)
        .done;
      const file = await FeatureFile.open(output);
      const logits = floats(tensors.get('logits') as Tensor);
      const found = await file.logits();
      assert.ok(relativeError(found, logits) < 1e-5, `logits: ${relativeError(found, logits)}`);
      // Where nothing was folded the bits would be equal.
      assert.notDeepEqual([...found], [...logits]);
      assert.ok(file.stages.length > 0);
      for (const stage of file.stages) {
        const error = relativeError(await file.tensor(stage), pooled(tensors.get(stage) as Tensor));
        assert.ok(error < 1e-5, `${stage}: ${error}`);
      }
    });
  }
});
