/** Extraction in parts against extraction of the whole. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { writeCifar } from '../helpers/cifar.js';

const bin = resolve('bin/mode-ensemble.js');
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-shards-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const cli = (...args: string[]) =>
  spawnSync(process.execPath, [bin, ...args], { encoding: 'utf8', cwd: folder, timeout: 240_000 });

const SETS = ['--in', 'cifar10:cifar', '--out', 'Files=folder:files', '--out', 'builtin:textures'];
const PASSES = ['--pass', 'plain,rank1,perturbed:temperature=1000:magnitude=0.0014', '--train', 'cifar10:cifar'];
const extract = (features: string, ...more: string[]) =>
  cli(
    ...['extract', ...SETS, ...PASSES, '--checkpoint', 'a/checkpoint.safetensors', '--batch-size', '16'],
    ...['--threads', '2', '--features', features, '--json', ...more],
  );

const contents = (features: string) => {
  const names = readdirSync(join(folder, features)).filter((name) => name.endsWith('.safetensors'));
  return new Map(names.sort().map((name) => [name, readFileSync(join(folder, features, name))]));
};

describe('extraction in parts', () => {
  before(() => {
    writeCifar(join(folder, 'cifar'), 150, 70);
    mkdirSync(join(folder, 'files'));
    // Names that need quotes in a list, images of all sizes, and more than a batch of them.
    const images = readdirSync('test/fixtures/images').filter((name) => /\.(png|jpg)$/.test(name));
    for (const [index, name] of images.entries()) {
      cpSync(
        join('test/fixtures/images', name),
        join(folder, 'files', index % 3 === 0 ? `x, "${index}" ${name}` : name),
      );
    }
    const train = cli(
      ...['train', '--arch', 'R18', '--width', '8', '--in', 'cifar10:cifar', '--seed', '1', '--epochs', '1'],
      '--out',
      'a',
    );
    assert.equal(train.status, 0, train.stderr);
    const whole = extract('whole');
    assert.equal(whole.status, 0, whole.stderr);
  });

  it('in four gives the bytes of the whole, whichever part comes last', () => {
    for (const [index, part] of ['3/4', '1/4', '4/4', '2/4'].entries()) {
      const result = extract('parts', '--shard', part);
      assert.equal(result.status, 0, result.stderr);
      const { shard, files } = JSON.parse(result.stdout);
      assert.deepEqual([shard.merged > 0, shard.waiting > 0, files.length > 0], [index === 3, index < 3, index === 3]);
    }
    const [whole, parts] = [contents('whole'), contents('parts')];
    assert.deepEqual([...parts.keys()], [...whole.keys()]);
    // Three passes of three sets, and the plain one of the training data.
    assert.equal(whole.size, 10);
    for (const [name, bytes] of whole) assert.ok(parts.get(name)?.equals(bytes), name);
    assert.deepEqual(readdirSync(join(folder, 'parts/parts')), []);
    // What is whole is not taken apart again.
    assert.deepEqual(JSON.parse(extract('parts', '--shard', '1/2').stdout).shard, {
      ...{ made: 0, reused: 0, merged: 0, whole: 10, waiting: 0 },
    });
  });

  it('of more parts than batches gives the same', () => {
    for (let part = 1; part <= 12; part++) assert.equal(extract('many', '--shard', `${part}/12`).status, 0);
    for (const [name, bytes] of contents('whole')) assert.ok(contents('many').get(name)?.equals(bytes), name);
  });

  it('refuses parts that cannot be', () => {
    for (const part of ['0/4', '5/4', '1', 'a/b']) {
      const { status, stderr } = extract('refused', '--shard', part);
      assert.equal(status, 2);
      assert.match(stderr, /--shard: expected a part such as 1\/4, found "/);
    }
    const { status, stderr } = extract('refused', '--shard', '1/4', '--skip-bad-images');
    assert.equal(status, 2);
    assert.match(stderr, /expected a set whose images can all be read/);
  });
});
