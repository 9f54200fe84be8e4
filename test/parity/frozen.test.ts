/** Extraction folds batch norms into convolutions: against the plain network, whose parity with PyTorch is parity/networks. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PLAIN } from '../../lib/features/pass.js';
import { FeatureFile } from '../../lib/features/store.js';
import type { ArchOptions, OpenDataResult, Precision } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { writeCifar } from '../helpers/cifar.js';
import { CIFAR_TRANSFORM, extractOptions, open, quiet } from '../helpers/native.js';
import { initWeights, relativeError, trace, writeWithNorms } from '../helpers/networks.js';
import { float32, floats, int64, type Tensor, writeTensors } from '../helpers/safetensors.js';

const IMAGES = 4;
/** A network of each way in which norms and convolutions follow each other; the side of its images, some odd. */
const NETWORKS: readonly (readonly [name: string, width: number, side?: number])[] = [
  ['cifar-resnet18', 8],
  ['cifar-resnet20', 8],
  ['resnet50', 8],
  ['wrn-10-1', 16],
  ['densenet121', 8],
  ['cifar-densenet-bc-100', 8],
  // Every 3×3 convolution by Winograd's filtering, of stride 1 and 2; maps of 32, 16, 8, 4 pixels, and of 27, 14, 7, 4.
  ['cifar-resnet18', 32],
  ['cifar-resnet18', 32, 27],
  // Dense blocks that go image by image (models/dense_block.h); maps of 16, 8, 4, 2 pixels, and of 17, 8, 4, 2.
  ['densenet121', 64, 64],
  ['densenet121', 64, 67],
  // Channels that are no multiple of a panel.
  ['wrn-10-3', 16, 19],
];

const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-frozen-'));
const input = (side: number) => join(folder, `input-${side}`);
const transformOf = (side: number) => ({ ...CIFAR_TRANSFORM, resize: side, crop: side });
let data: OpenDataResult;

/** Writes the pixels that an extraction sees, for a trace. */
function writeInput({ handle }: OpenDataResult, side: number): void {
  const { mean, std } = CIFAR_TRANSFORM;
  const values = new Float32Array(IMAGES * 3 * side * side);
  for (let i = 0; i < IMAGES; i++) {
    const { pixels } = getAddon().readImage(handle, i, transformOf(side));
    for (const [at, pixel] of pixels.entries()) {
      const channel = at % 3;
      const place = (i * 3 + channel) * side * side + Math.floor(at / 3);
      values[place] = (pixel / 255 - (mean[channel] as number)) / (std[channel] as number);
    }
  }
  writeTensors(input(side), { images: float32([IMAGES, 3, side, side], values), labels: int64([0, 1, 2, 3]) });
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
  for (const side of new Set(NETWORKS.map(([, , own = 32]) => own))) writeInput(data, side);
});
after(() => rmSync(folder, { recursive: true, force: true }));

describe('the frozen network of an extraction', () => {
  for (const [name, width, side = 32] of NETWORKS) {
    it(`gives the logits and stages of the plain ${name} of width ${width}, ${side} pixels (relative error below 1e-5), and not the same bits`, async () => {
      const arch: ArchOptions = { name, width, classes: 10, dropout: 0 };
      const checkpoint = join(folder, `${name}.safetensors`);
      const output = join(folder, `${name}-features.safetensors`);
      writeWithNorms(checkpoint, await initWeights(arch, 1, checkpoint));
      const { tensors } = await trace(arch, { checkpoint }, input(side), join(folder, 'trace'));
      await getAddon().extract(
        extractOptions(data.handle, checkpoint, output, width, { arch, threads: 1, transform: transformOf(side) }),
        quiet,
      ).done;
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

  for (const [name, width, side = 32] of NETWORKS) {
    it(`moves images against the gradient as the plain ${name} of width ${width}, ${side} pixels, does`, async () => {
      const arch: ArchOptions = { name, width, classes: 10, dropout: 0 };
      const checkpoint = join(folder, `${name}-moving.safetensors`);
      writeWithNorms(checkpoint, await initWeights(arch, 1, checkpoint));
      // Large, so that what the step does to the logits stands out from rounding.
      const step = { kind: 'perturbed', temperature: 1, magnitude: 0.02, gradient: 'own' } as const;
      const logitsOf = async (precision: Precision) => {
        const paths = ['plain', 'perturbed'].map((pass) => join(folder, `${precision}-${pass}.safetensors`));
        const outputs = [PLAIN, step].map((pass, at) => {
          return { pass, path: paths[at] as string, storage: 'float32' as const, metadata: { key: 'test' } };
        });
        const of = { arch, precision, threads: 2, transform: transformOf(side) };
        const options = extractOptions(data.handle, checkpoint, paths[0] as string, width, of);
        const members = [{ arch, checkpoint, outputs, stageScores: [] }];
        await getAddon().extract({ ...options, members }, quiet).done;
        const files = await Promise.all(paths.map((path) => FeatureFile.open(path)));
        return Promise.all(files.map(async (file) => Float64Array.from(await file.logits())));
      };
      const [before, after] = (await logitsOf('float32-plain')) as [Float64Array, Float64Array];
      const [frozenBefore, frozenAfter] = (await logitsOf('float32')) as [Float64Array, Float64Array];
      assert.ok(relativeError(frozenBefore, before) < 1e-5);
      const move = after.map((value, at) => value - (before[at] as number));
      const frozenMove = frozenAfter.map((value, at) => value - (frozenBefore[at] as number));
      // Pixels whose gradient is near zero may step the other way.
      const error = relativeError(frozenMove, move);
      assert.ok(error < 0.005, `${error}`);
    });
  }

  // Each processor takes the fastest kernels it has; a child process that LibTorch holds to AVX2 takes the others.
  const [isChild, has512] = [
    process.env.ATEN_CPU_CAPABILITY !== undefined,
    getAddon().info().cpuCapability === 'AVX512',
  ];
  const skip = isChild ? 'this is that process' : has512 ? false : 'there is one instruction set here';
  it('does so with the instructions of AVX2 too', { skip }, () => {
    const { NODE_TEST_CONTEXT: _, ...outer } = process.env;
    const env = { ...outer, ATEN_CPU_CAPABILITY: 'avx2' };
    const { status, stdout } = spawnSync(process.execPath, [fileURLToPath(import.meta.url)], { env, encoding: 'utf8' });
    assert.equal(status, 0, stdout);
    assert.match(stdout, /gives the logits and stages of the plain cifar-resnet18 of width 32, 27 pixels/);
  });
});
