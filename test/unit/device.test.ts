import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { NativeInfo } from '../../lib/native/contract.js';
import { type DeviceSettings, deviceInKey, resolveDevice } from '../../lib/native/device.js';
import { getAddon } from '../../lib/native/load.js';
import { writeCifar } from '../helpers/cifar.js';
import { failure, open, quiet, recipe, trainOptions } from '../helpers/native.js';

/** As on a machine with so many GPUs. */
function on(gpus: number, local?: DeviceSettings['local'], cuda = gpus > 0): DeviceSettings {
  const devices = ['cpu', ...Array.from({ length: gpus }, (_, i) => `cuda:${i}`)];
  return { addon: { info: () => ({ devices, cuda }) as NativeInfo }, local };
}

describe('resolveDevice', () => {
  it('takes a GPU where there is one', () => {
    assert.equal(resolveDevice('auto', on(0)), 'cpu');
    assert.equal(resolveDevice('auto', on(2)), 'cuda:0');
    assert.equal(resolveDevice('cuda', on(2)), 'cuda:0');
    assert.equal(resolveDevice('cuda:1', on(2)), 'cuda:1');
    assert.equal(resolveDevice('cpu', on(2)), 'cpu');
  });

  it('gives each rank of a machine its own', () => {
    const places = [0, 1, 2].map((rank) => resolveDevice('auto', on(3, { rank, size: 3 })));
    assert.deepEqual(places, ['cuda:0', 'cuda:1', 'cuda:2']);
    // A launcher may show each of them one alone.
    assert.equal(resolveDevice('auto', on(1, { rank: 2, size: 3 })), 'cuda:0');
    assert.equal(resolveDevice('auto', on(0, { rank: 2, size: 3 })), 'cpu');
  });

  const refused: [string, DeviceSettings, string, RegExp][] = [
    ['gpu', on(2), 'E_CONFIG', /^device: expected auto, cpu, cuda or cuda:N, found "gpu"$/],
    ['cuda:x', on(2), 'E_CONFIG', /found "cuda:x"$/],
    ['cuda', on(0), 'E_DEVICE', /expected cpu, since this addon was built with a LibTorch without CUDA, found cuda$/],
    ['cuda:0', on(0, undefined, true), 'E_DEVICE', /expected cpu, since no GPU is seen here, found cuda:0$/],
    ['cuda:2', on(2), 'E_DEVICE', /expected one of cuda:0, cuda:1, found cuda:2$/],
    ['auto', on(2, { rank: 2, size: 3 }), 'E_DEVICE', /for rank 2 of this machine, found cuda:2$/],
    ['cuda:1', on(2, { rank: 0, size: 2 }), 'E_CONFIG', /for 2 ranks, found cuda:1; cuda gives each/],
  ];
  for (const [wanted, settings, code, message] of refused) {
    it(`refuses ${wanted} where it is not to be had: ${code}`, () => {
      assert.throws(() => resolveDevice(wanted, settings), { code, message });
    });
  }
});

it('a key tells a GPU from a CPU, and one GPU from none other', () => {
  assert.deepEqual(['cpu', undefined].map(deviceInKey), [{}, {}]);
  assert.deepEqual(['cuda:0', 'cuda:3'].map(deviceInKey), [{ device: 'cuda' }, { device: 'cuda' }]);
});

describe('native jobs', async () => {
  const addon = getAddon();
  const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-device-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  writeCifar(join(folder, 'cifar'), 20);
  const { handle } = await open({ path: join(folder, 'cifar') });
  const train = async (device: string, precision: 'float32' | 'tf32' | 'bfloat16' = 'float32') => {
    const options = { ...trainOptions(handle, handle, join(folder, 'x')), ...recipe({ precision }), device };
    return failure(addon.train(options, quiet));
  };

  it('refuse a device that there is not', async () => {
    const missing = `cuda:${addon.info().gpus.length}`;
    const { code, message } = await train(missing);
    assert.equal(code, 'E_DEVICE');
    assert.match(message, new RegExp(`^device: expected .*, found ${missing}`));
    for (const odd of ['cuda', 'cuda:', 'cuda:-1', 'cuda:1x', 'gpu', '']) {
      const { code, message } = await train(odd);
      assert.equal(code, 'E_CONFIG');
      assert.equal(message, `device: expected cpu or cuda:N, found "${odd}".`);
    }
    const check = { transform: trainOptions(handle, handle, '').transform, augment: recipe().augment };
    const place = { data: handle, batchSize: 8, threads: 1, workers: 1 };
    assert.equal((await failure(addon.checkDevice({ device: missing, ...check, ...place }, quiet))).code, 'E_DEVICE');
    assert.equal((await failure(addon.checkDevice({ device: 'cpu', ...check, ...place }, quiet))).code, 'E_DEVICE');
  });

  it('refuse a precision that the CPU has not', async () => {
    const { code, message } = await train('cpu', 'tf32');
    assert.equal(code, 'E_CONFIG');
    assert.equal(message, 'precision: expected float32, float32-plain or bfloat16, found "tf32".');
  });

  it('name as many GPUs as they have devices for', () => {
    const { cuda, devices, gpus } = addon.info();
    assert.deepEqual(devices, ['cpu', ...gpus.map((_, i) => `cuda:${i}`)]);
    assert.ok(cuda || gpus.length === 0);
  });
});
