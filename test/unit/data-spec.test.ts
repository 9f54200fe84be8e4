import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../lib/config/errors.js';
import { openData } from '../../lib/data/open.js';
import { formatDataSpec, parseDataSpec, parseOutSpecs } from '../../lib/data/spec.js';
import type { Addon, OpenDataOptions } from '../../lib/native/contract.js';

const spec = (text: string) => parseDataSpec(text, '--in');
const fails = (text: string, message: string) =>
  assert.throws(
    () => spec(text),
    (error) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(error.message, message);
      return true;
    },
  );

test('a spec is taken apart', () => {
  const wanted: [string, object][] = [
    ['builtin:shapes', { name: 'shapes', reader: 'builtin', path: 'shapes', split: undefined }],
    ['folder:dtd/images/', { name: 'images', reader: 'folder', path: 'dtd/images/', split: undefined }],
    ['SVHN=folder:a b/c', { name: 'SVHN', reader: 'folder', path: 'a b/c', split: undefined }],
    ['cifar10:x?split=train', { name: 'x', reader: 'cifar10', path: 'x', split: 'train' }],
    ['C=folder:C:\\data\\set', { name: 'C', reader: 'folder', path: 'C:\\data\\set', split: undefined }],
    ['folder:C:\\data\\set', { name: 'set', reader: 'folder', path: 'C:\\data\\set', split: undefined }],
    ['folder:/a=b/what?/c', { name: 'c', reader: 'folder', path: '/a=b/what?/c', split: undefined }],
    ['Tiny ImageNet=folder:./x', { name: 'Tiny ImageNet', reader: 'folder', path: './x', split: undefined }],
  ];
  for (const [text, expected] of wanted) assert.deepEqual(spec(text), expected);
  assert.equal(formatDataSpec(spec('A=cifar10:x?split=test')), 'cifar10:x?split=test');
});

test('what cannot be taken apart is one sentence', () => {
  fails('cifr10:dir', '--in: unknown reader "cifr10" in "cifr10:dir"; the nearest is "cifar10"');
  fails('zzz:dir', '--in: unknown reader "zzz" in "zzz:dir"; known are cifar10, folder, builtin');
  fails(
    'data/cifar',
    '--in: expected [NAME=]READER:PATH[?split=test], for instance cifar10:DIR or folder:DIR or builtin:shapes, found "data/cifar"',
  );
  fails('folder:', '--in: expected a path after "folder:", found "folder:"');
  fails('folder:x?skip=1', '--in: unknown key "skip" in "folder:x?skip=1"; expected ?split=train or ?split=test');
  fails('folder:x?split=dev', '--in: expected ?split=train or ?split=test in "folder:x?split=dev", found "dev"');
  const name = '--in: expected a name of letters, digits, spaces, ".", "_", "+" and "-" in';
  fails('../x=folder:y', `${name} "../x=folder:y", found "../x"`);
  fails('folder:..', `${name} "folder:..", found ".."; give it one, for instance Set=folder:..`);
});

test('OoD sets of one name, in whatever case, are refused', () => {
  const out = (...texts: string[]) =>
    parseOutSpecs(
      texts.map((text, index) => ({ text, where: `x.yaml: out[${index}]` })),
      spec('cifar10:images'),
    );
  assert.deepEqual(
    out('folder:a', 'B=folder:a').map(({ name }) => name),
    ['a', 'B'],
  );
  assert.throws(() => out('folder:x/val', 'folder:y/VAL'), {
    message:
      'x.yaml: out[1]: the name "VAL" already belongs to x.yaml: out[0]; give one of them another, for instance VAL-2=folder:y/VAL',
  });
  assert.throws(() => out('folder:dtd/images'), {
    message:
      'x.yaml: out[0]: the name "images" already belongs to the in-distribution set; give one of them another, for instance images-2=folder:dtd/images',
  });
});

/** An addon that opens any set and tells what it was asked for. */
function fakeAddon() {
  const asked: OpenDataOptions[] = [];
  let disposed = 0;
  const addon = {
    info: () => ({ builtinSets: ['shapes', 'blends'] }),
    openData: (options: OpenDataOptions) => {
      asked.push(options);
      return { done: Promise.resolve({ handle: {}, count: 3, classes: ['a'], fingerprint: 'f' }), abort() {} };
    },
    disposeData: () => {
      disposed++;
    },
  } as unknown as Addon;
  return { addon, asked, disposed: () => disposed };
}

test('paths are relative to the root, built-in names are not, and each reader has its default part', async () => {
  const { addon, asked } = fakeAddon();
  await openData('cifar10:x', { root: 'r', addon });
  await openData('folder:/x', { root: 'r', addon, skipBadImages: true });
  await openData('builtin:shapes?split=train', { root: 'r', addon });
  await openData('folder:nowhere', { addon, split: 'test' });
  await openData('folder:nowhere', { addon, split: 'test', allowWhole: true });
  const usual = { labels: '', root: '', cache: '', threads: 1 };
  assert.deepEqual(asked, [
    { reader: 'cifar10', path: 'r/x', split: 'test', ...usual, skipBadImages: false },
    { reader: 'folder', path: '/x', split: '', ...usual, skipBadImages: true },
    { reader: 'builtin', path: 'shapes', split: 'train', ...usual, skipBadImages: false },
    { reader: 'folder', path: 'nowhere', split: 'test', ...usual, skipBadImages: false },
    { reader: 'folder', path: 'nowhere', split: '', ...usual, skipBadImages: false },
  ]);
});

test('a set is disposed of once, however often it is asked', async () => {
  const { addon, disposed } = fakeAddon();
  {
    using set = await openData('S=builtin:shapes', { addon });
    assert.deepEqual([set.name, set.count, set.classes, set.fingerprint], ['S', 3, ['a'], 'f']);
    set.dispose();
    set.dispose();
  }
  assert.equal(disposed(), 1);
});

test('an unknown built-in set suggests the nearest', async () => {
  const { addon } = fakeAddon();
  await assert.rejects(openData('builtin:shape', { addon, where: '--out' }), {
    code: 'E_CONFIG',
    message: '--out: unknown built-in set "shape"; the nearest is "shapes"',
  });
});
