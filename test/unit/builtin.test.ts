import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { getAddon } from '../../lib/native/load.js';
import { CIFAR_TRANSFORM, failure, open, openOptions, quiet } from '../helpers/native.js';

const addon = getAddon();
const builtin = (path: string, split = '') => open({ reader: 'builtin', path, split });

/** SHA-256 over the pixels and labels of the first `count` images. */
function hash(data: Awaited<ReturnType<typeof open>>, count: number): string {
  const sum = createHash('sha256');
  for (let i = 0; i < count; i++) {
    const { pixels, label } = addon.readImage(data.handle, i, CIFAR_TRANSFORM);
    sum.update(pixels).update(Uint8Array.of(label));
  }
  return sum.digest('hex');
}

/** The bytes that every machine must generate: recorded once, with the version of the generator. */
const RECORDED: Record<string, { split: string; count: number; sha256: string }> = {
  shapes: { split: 'test', count: 2000, sha256: '9b354dfa6d4f3da256048698b301bfe09134d348ef2400d8000b113206ff8bdb' },
  blends: { split: '', count: 2000, sha256: '578a8e837716fca19550e3aef60f57897ea5997a9df35f40afd489d1025286dd' },
  unseen: { split: '', count: 2000, sha256: 'a1c98aaa2d76b51dab178a8844a78bb77159eba98d6874b1ff34ae580fa41a8a' },
  textures: { split: '', count: 2000, sha256: 'b53eb5980e03851e8044bb21be2ae06f62dc80fee2d386fb6e881500faed9cf9' },
  strokes: { split: '', count: 2000, sha256: '11c8a53b046c25cb1eca9f4acca99ad89af3d0d33d01e81d3a50a0ebc38ef202' },
};

describe('built-in data', () => {
  for (const [name, { split, count, sha256 }] of Object.entries(RECORDED)) {
    it(`${name} are the recorded bytes`, async () => {
      const data = await builtin(name, split);
      assert.equal(data.count, count);
      assert.equal(hash(data, 100), sha256);
    });
  }

  it('has 10,000 training images of ten classes, each about a tenth, none of which is in the test part', async () => {
    const train = await builtin('shapes', 'train');
    const test = await builtin('shapes', 'test');
    assert.equal(train.count, 10_000);
    assert.equal(train.classes.length, 10);
    assert.notEqual(train.fingerprint, test.fingerprint);
    const perClass = new Array(10).fill(0);
    const seen = new Set<string>();
    for (let i = 0; i < train.count; i++) {
      const { pixels, label } = addon.readImage(train.handle, i, CIFAR_TRANSFORM);
      perClass[label]++;
      seen.add(createHash('sha1').update(pixels).digest('base64'));
    }
    for (const n of perClass) assert.ok(n > 800 && n < 1200, `${perClass}`);
    assert.equal(seen.size, 10_000);
    for (let i = 0; i < test.count; i++) {
      const { pixels } = addon.readImage(test.handle, i, CIFAR_TRANSFORM);
      assert.ok(!seen.has(createHash('sha1').update(pixels).digest('base64')), `test image ${i} is a training image`);
    }
  });

  it('is generated in under 3 s', async () => {
    const start = performance.now();
    for (const name of addon.info().builtinSets) await builtin(name, name === 'shapes' ? 'train' : '');
    assert.ok(performance.now() - start < 3000, `${performance.now() - start} ms`);
  });

  it('names the sets there are when asked for another', async () => {
    const job = addon.openData(openOptions({ reader: 'builtin', path: 'shape', split: 'test' }), quiet);
    const error = await failure(job);
    assert.equal(error.code, 'E_CONFIG');
    assert.match(error.message, /shape.*shapes.*blends.*unseen.*textures.*strokes/);
  });
});
