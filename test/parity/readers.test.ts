import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { OpenDataOptions, ReaderName } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { testData } from '../helpers/data.js';
import { CIFAR_TRANSFORM, open } from '../helpers/native.js';

/** Made by make_reader_fixtures.py with scipy, numpy and pickle. */
interface Entry {
  /** Below test/fixtures/readers, or below the test data's root. */
  path: string;
  reader: ReaderName;
  options: Partial<OpenDataOptions>;
  count: number;
  /** Of the square that is compared: the image, or what CenterCrop takes of it. */
  side: number;
  /** SHA-256 of the class names and of the labels, as JSON. */
  classes: string;
  labels: string;
  /** SHA-256 of the pixels, image after image. */
  sha256: string;
}

const fixtures: { made: Entry[]; data: Entry[] } = JSON.parse(readFileSync('test/fixtures/readers.json', 'utf8'));

const sum = (text: string) => createHash('sha256').update(text).digest('hex');

async function check({ path, reader, options, count, side, classes, labels, sha256 }: Entry, root: string) {
  const data = await open({ reader, path: join(root, path), ...options });
  const what = `${reader} ${path} ${JSON.stringify(options)}`;
  assert.equal(data.count, count, what);
  assert.equal(sum(JSON.stringify(data.classes)), classes, `classes of ${what}: ${data.classes}`);
  const transform = { ...CIFAR_TRANSFORM, resize: side, crop: side, fit: 'short' as const };
  const pixels = createHash('sha256');
  const found: number[] = [];
  for (let i = 0; i < count; i++) {
    const image = getAddon().readImage(data.handle, i, transform);
    pixels.update(image.pixels);
    found.push(image.label);
  }
  assert.equal(sum(JSON.stringify(found)), labels, `labels of ${what}`);
  assert.equal(pixels.digest('hex'), sha256, `pixels of ${what}`);
  return data.fingerprint;
}

describe('arrays of images, as scipy, numpy and pickle read them', () => {
  for (const reader of ['svhn', 'npy', 'cifar10', 'cifar100'] as const) {
    const entries = fixtures.made.filter((entry) => entry.reader === reader);
    it(`${reader}: ${entries.length} small sets of every kind`, async () => {
      assert.ok(entries.length >= 8);
      for (const entry of entries) await check(entry, 'test/fixtures/readers');
    });
  }

  it('the layouts of CIFAR-100 have one fingerprint, its two kinds of labels have two', async () => {
    const fingerprint = (layout: string, labels: string) =>
      open({ reader: 'cifar100', path: `test/fixtures/readers/cifar100-${layout}`, labels }).then(
        (it) => it.fingerprint,
      );
    const [binary, python, coarse] = await Promise.all([
      fingerprint('binary', ''),
      fingerprint('python', 'fine'),
      fingerprint('python', 'coarse'),
    ]);
    assert.equal(binary, python);
    assert.notEqual(python, coarse);
  });

  const root = testData();
  it('real sets', { skip: root ? false : 'the test data is not beside the project' }, async () => {
    assert.equal(fixtures.data.length, 3);
    for (const entry of fixtures.data) await check(entry, root as string);
  });

  it('a batch of real CIFAR-10 is the same in either layout', { skip: root ? false : 'no test data' }, async () => {
    const both = ['bin', 'py'].map((layout) =>
      open({ reader: 'cifar10', path: join(root as string, `cifar-10-batches-${layout}`), split: 'test' }),
    );
    const [binary, python] = await Promise.all(both);
    assert.equal(binary?.fingerprint, python?.fingerprint);
  });

  it('an official SVHN file that is cut short', { skip: root ? false : 'no test data' }, async () => {
    const path = join(root as string, 'svhn/train_32x32.truncated.mat');
    await assert.rejects(open({ reader: 'svhn', path, split: '' }), (error: Error & { code: string }) => {
      assert.equal(error.code, 'E_DATA');
      assert.match(
        error.message,
        /truncated\.mat: byte 128: expected a variable of [\d,]+ bytes, found 139,128 to the end of the file: it is cut short\.$/,
      );
      return true;
    });
  });
});
