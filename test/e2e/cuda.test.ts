/** On a GPU what the CPU does: only where there is one. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { JobEvent, LogEvent, PassOptions, StepEvent, TrainOptions } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { writeCifarOf } from '../helpers/cifar.js';
import {
  AUGMENT,
  CIFAR_TRANSFORM,
  extractMember,
  open,
  quiet,
  recipe,
  trainOptions,
  UNSAVED,
} from '../helpers/native.js';
import { floats, readTensors } from '../helpers/safetensors.js';
import { scenes } from '../helpers/scenes.js';

const addon = getAddon();
const { gpus } = addon.info();
const skip = gpus.length > 0 ? false : 'there is no GPU here, or LibTorch has no CUDA';
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-cuda-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Largest difference, relative to the largest value. */
function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  assert.equal(a.length, b.length);
  let most = 0;
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    most = Math.max(most, Math.abs((a[i] as number) - (b[i] as number)));
    largest = Math.max(largest, Math.abs(b[i] as number));
  }
  return most / Math.max(largest, 1e-30);
}

describe('a GPU', { skip }, async () => {
  if (skip) return;
  const pixels = scenes({ count: 640, salt: 5, grid: 8, classes: 10 }, 32);
  const path = writeCifarOf(join(folder, 'cifar'), pixels);
  const { handle: train } = await open({ path });
  const { handle: test } = await open({ path, split: 'test' });

  /** 20 steps of a batch of 32; loss of each, the messages, and where the weights are. */
  async function losses(name: string, device: string, overrides: Partial<TrainOptions> = {}) {
    const checkpoint = join(folder, `${name}.safetensors`);
    const seen: JobEvent[] = [];
    const settings = { ...recipe({ learningRate: 0.02 }), reportSteps: 1, device, ...overrides };
    await addon.train(trainOptions(train, test, checkpoint, settings), (event) => void seen.push(event)).done;
    const steps = seen.filter((event): event is StepEvent => event.type === 'step');
    const messages = seen.filter((event): event is LogEvent => event.type === 'log').map(({ message }) => message);
    return { checkpoint, messages, losses: steps.map(({ loss }) => loss) };
  }

  it('passes its own checks: kernel, copies, graph, NCCL', async () => {
    const place = { data: train, transform: CIFAR_TRANSFORM, augment: AUGMENT, batchSize: 48, threads: 1, workers: 2 };
    const checks = await addon.checkDevice({ device: 'cuda:0', ...place }, quiet).done;
    assert.equal(checks.length, 4);
    assert.deepEqual(
      checks.filter(({ passed }) => !passed),
      [],
    );
  });

  it('takes the same 20 steps, of which it replays most as a graph', async () => {
    const [cpu, gpu] = [await losses('cpu', 'cpu'), await losses('gpu', 'cuda:0')];
    assert.deepEqual(gpu.messages, []);
    assert.equal(gpu.losses.length, 20);
    // The order, crops and flips are the same; rounding grows as between two CPUs (parity/trajectory).
    assert.ok(difference(gpu.losses, cpu.losses) < 1e-2, `${gpu.losses} ${cpu.losses}`);
    assert.ok(difference(gpu.losses.slice(0, 5), cpu.losses.slice(0, 5)) < 1e-4);
    const [here, there] = [cpu, gpu].map(({ checkpoint }) => readTensors(checkpoint).tensors);
    for (const [tensor, value] of here ?? []) {
      const other = there?.get(tensor);
      if (value.dtype === 'I64') {
        assert.deepEqual(other, value, tensor);
        continue;
      }
      assert.ok(other !== undefined && difference(floats(other), floats(value)) < 2e-2, tensor);
    }
  });

  for (const precision of ['tf32', 'bfloat16'] as const) {
    it(`trains in ${precision} towards the same losses`, async () => {
      const [exact, rounded] = [await losses('exact', 'cuda:0'), await losses(precision, 'cuda:0', { precision })];
      assert.ok(difference(rounded.losses.slice(0, 5), exact.losses.slice(0, 5)) < 0.05);
      assert.notDeepEqual(rounded.losses, exact.losses);
    });
  }

  it('draws dropout and mixes images in a graph as without: each step has its own numbers', async () => {
    const arch = { name: 'wrn-10-1', width: 8, classes: 10, dropout: 0.5 };
    const objective = { labelSmoothing: 0.1, mixup: 0.4, cutmix: 1, mixProbability: 1, switchProbability: 0.5 };
    const first = await losses('dropout-1', 'cuda:0', { arch, objective });
    const second = await losses('dropout-2', 'cuda:0', { arch, objective });
    assert.ok(difference(first.losses, second.losses) < 1e-2);
    assert.equal(new Set(first.losses.map((loss) => loss.toFixed(5))).size, 20);
  });

  it('goes on from its state to where it would have come', async () => {
    const whole = await losses('whole', 'cuda:0');
    const states = join(folder, 'states');
    mkdirSync(states);
    const saving = { ...UNSAVED, folder: states, stateSteps: 8, keepStates: 3 };
    await losses('stopped', 'cuda:0', { saving });
    // The state of the eighth step, as one that was stopped there would have left it.
    const resume = join(folder, 'at-8.safetensors');
    copyFileSync(join(states, 'state-8.safetensors'), resume);
    const rest = await losses('resumed', 'cuda:0', { resume });
    assert.equal(rest.losses.length, 12);
    assert.ok(difference(rest.losses, whole.losses.slice(8)) < 1e-2, `${rest.losses} ${whole.losses.slice(8)}`);
  });

  it('extracts the same features', async () => {
    const { checkpoint } = await losses('features', 'cpu');
    const arch = { name: 'cifar-resnet18', width: 8, classes: 10, dropout: 0 };
    const passes: PassOptions[] = [
      { kind: 'plain', temperature: 1, magnitude: 0, gradient: 'own' },
      { kind: 'rank1', temperature: 1, magnitude: 0, gradient: 'own' },
      { kind: 'perturbed', temperature: 1000, magnitude: 0.0014, gradient: 'own' },
    ];
    const extract = async (device: string, precision: 'float32' | 'float16', kinds: readonly PassOptions[]) => {
      const paths = kinds.map(({ kind }) => join(folder, `${device.replace(':', '')}-${precision}-${kind}`));
      const members = kinds.map((pass, i) => extractMember(arch, checkpoint, paths[i] as string, pass));
      const place = { transform: CIFAR_TRANSFORM, batchSize: 32, threads: 2, workers: 2 };
      await addon.extract({ members, data: train, device, precision, ...place }, quiet).done;
      return paths.map((file) => readTensors(file).tensors);
    };
    const [cpu, gpu] = [await extract('cpu', 'float32', passes), await extract('cuda:0', 'float32', passes)];
    // ReLUs within rounding of 0 turn the sign of a gradient here and there: a perturbed image moves by 2 × 0.0014 more.
    const bounds = [1e-4, 1e-3, 5e-3];
    for (const [i, tensors] of cpu.entries()) {
      for (const [name, value] of tensors) {
        const other = gpu[i]?.get(name);
        assert.ok(other !== undefined, name);
        assert.equal(other.dtype, value.dtype);
        if (value.dtype === 'I64' && name === 'labels') assert.deepEqual(other, value);
        if (value.dtype !== 'F32') continue;
        const off = difference(floats(other), floats(value));
        assert.ok(off < (bounds[i] as number), `${passes[i]?.kind} ${name}: ${off}`);
      }
    }
    const [half] = await extract('cuda:0', 'float16', passes.slice(0, 1));
    const logits = half?.get('logits');
    const exact = cpu[0]?.get('logits');
    assert.ok(logits && exact && difference(floats(logits), floats(exact)) < 2e-2);
  });

  it('takes no gradients in float16', async () => {
    const refused = losses('half', 'cuda:0', { precision: 'float16' });
    await assert.rejects(refused, {
      code: 'E_CONFIG',
      message: /^precision: .* where gradients are needed, found float16/,
    });
    assert.throws(() => readFileSync(join(folder, 'half.safetensors')));
  });
});
