import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, homedir, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { ConfigError } from '../../lib/config/errors.js';
import { cacheFolder } from '../../lib/config/folders.js';
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
  const none = { labels: undefined, root: undefined };
  for (const [text, expected] of wanted) assert.deepEqual(spec(text), { ...none, ...expected });
  assert.equal(formatDataSpec(spec('A=cifar10:x?split=test')), 'cifar10:x?split=test');
});

test('a query has several keys, and its paths may hold what a path may hold', () => {
  const queries: [string, Partial<ReturnType<typeof spec>>][] = [
    ['svhn:d?split=extra', { path: 'd', split: 'extra' }],
    ['cifar100:d?split=train&labels=coarse', { path: 'd', split: 'train', labels: 'coarse' }],
    ['cifar100:d?labels=fine&split=test', { path: 'd', split: 'test', labels: 'fine' }],
    ['list:a/list.csv?root=/b/c d', { path: 'a/list.csv', root: '/b/c d' }],
    ['list:a.csv?root=R&D/x=1', { path: 'a.csv', root: 'R&D/x=1' }],
    ['list:a.csv?root=what?/x', { path: 'a.csv', root: 'what?/x' }],
    ['npy:x.npy?labels=../y.npy', { path: 'x.npy', labels: '../y.npy' }],
    ['folder:/what?/x?split=train', { path: '/what?/x', split: 'train' }],
    ['tar:a=b/what?/x.tar', { path: 'a=b/what?/x.tar', split: undefined }],
    ['folder:who?&co', { path: 'who?&co', split: undefined }],
  ];
  for (const [text, expected] of queries) {
    const named = `S=${text}`;
    assert.deepEqual(
      spec(named),
      { name: 'S', reader: text.split(':')[0], split: undefined, labels: undefined, root: undefined, ...expected },
      text,
    );
  }
  for (const text of ['cifar100:d?split=train&labels=coarse', 'list:a.csv?root=R&D/x=1', 'svhn:d']) {
    assert.equal(formatDataSpec(spec(text)), text);
  }
});

test('a key that a reader does not take is an error with a suggestion', () => {
  fails('list:a.csv?split=test', '--in: the reader list takes no "split" in "list:a.csv?split=test"; known are root');
  fails(
    'folder:x?labels=coarse',
    '--in: the reader folder takes no "labels" in "folder:x?labels=coarse"; known are split',
  );
  fails('cifar100:x?lables=fine', '--in: unknown key "lables" in "cifar100:x?lables=fine"; the nearest is "labels"');
  fails(
    'cifar100:x?labels=rough',
    '--in: expected ?labels=fine or ?labels=coarse in "cifar100:x?labels=rough", found "rough"',
  );
  fails(
    'svhn:x?split=val',
    '--in: expected ?split=train, ?split=test or ?split=extra in "svhn:x?split=val", found "val"',
  );
  fails(
    'cifar10:x?split=extra',
    '--in: expected ?split=train or ?split=test in "cifar10:x?split=extra", found "extra"',
  );
  fails('npy:x.npy?labels=', '--in: expected a path after ?labels= in "npy:x.npy?labels=", found ""');
  fails('svhn:x?split=test&split=train', '--in: "split" is given twice in "svhn:x?split=test&split=train"');
});

test('what cannot be taken apart is one sentence', () => {
  fails('cifr10:dir', '--in: unknown reader "cifr10" in "cifr10:dir"; the nearest is "cifar10"');
  fails(
    'zzz:dir',
    '--in: unknown reader "zzz" in "zzz:dir"; known are cifar10, cifar100, svhn, imagenet, folder, list, tar, npy, made-up, builtin',
  );
  fails(
    'data/cifar',
    '--in: expected [NAME=]READER:PATH[?split=test] with READER one of cifar10, cifar100, svhn, imagenet, folder, list, tar, npy, made-up, builtin, for instance cifar10:DIR, found "data/cifar"',
  );
  fails('folder:', '--in: expected a path after "folder:", found "folder:"');
  fails('folder:x?skip=1', '--in: unknown key "skip" in "folder:x?skip=1"; known are split');
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
  const usual = { labels: '', root: '', cache: join(cacheFolder(), 'indices'), threads: availableParallelism() };
  assert.deepEqual(asked, [
    { reader: 'cifar10', path: 'r/x', split: 'test', ...usual, skipBadImages: false },
    { reader: 'folder', path: '/x', split: '', ...usual, skipBadImages: true },
    { reader: 'builtin', path: 'shapes', split: 'train', ...usual, skipBadImages: false },
    { reader: 'folder', path: 'nowhere', split: 'test', ...usual, skipBadImages: false },
    { reader: 'folder', path: 'nowhere', split: '', ...usual, skipBadImages: false },
  ]);
});

test('labels and root are relative to the root where they are paths', async () => {
  const { addon, asked } = fakeAddon();
  const open = async (text: string, settings: object = {}) => {
    await openData(text, { root: 'r', addon, threads: 3, ...settings });
    const { path, split, labels, root, threads } = asked.at(-1) as OpenDataOptions;
    return [path, split, labels, root, threads];
  };
  assert.deepEqual(await open('cifar100:x?labels=coarse'), ['r/x', 'test', 'coarse', '', 3]);
  assert.deepEqual(await open('npy:x.npy?labels=y.npy'), ['r/x.npy', '', resolve('r/y.npy'), '', 3]);
  assert.deepEqual(await open('npy:x.npy?labels=/y.npy'), ['r/x.npy', '', '/y.npy', '', 3]);
  assert.deepEqual(await open('list:l.csv?root=images'), ['r/l.csv', '', '', 'r/images', 3]);
  assert.deepEqual(await open('list:l.csv'), ['r/l.csv', '', '', '', 3]);
  assert.deepEqual(await open('svhn:s'), ['r/s', 'test', '', '', 3]);
  // What has no folder of a part is one part.
  assert.deepEqual(await open('imagenet:i'), ['r/i', '', '', '', 3]);
  assert.deepEqual(await open('imagenet:i', { split: 'train' }), ['r/i', 'train', '', '', 3]);
  const parted = mkdtempSync(join(tmpdir(), 'imagenet-'));
  after(() => rmSync(parted, { recursive: true }));
  mkdirSync(join(parted, 'val'));
  assert.deepEqual(await open(`imagenet:${parted}`), [parted, 'test', '', '', 3]);
  assert.deepEqual(await open(`imagenet:${parted}`, { split: 'test', allowWhole: true }), [parted, 'test', '', '', 3]);
  assert.deepEqual(await open(`folder:${parted}`), [parted, '', '', '', 3]);
  assert.deepEqual(await open('tar:t.tar'), ['r/t.tar', '', '', '', 3]);
  assert.deepEqual(await open('tar:t.tar', { split: 'train' }), ['r/t.tar', 'train', '', '', 3]);
});

test('a set without parts is taken whole, or refused where a part is needed', async () => {
  const { addon, asked } = fakeAddon();
  await openData('list:l.csv', { addon, split: 'test', allowWhole: true });
  assert.equal(asked[0]?.split, '');
  await assert.rejects(openData('L=npy:l.npy', { addon, split: 'train', where: '--in' }), {
    code: 'E_CONFIG',
    message: '--in: expected a set with a train part, found npy:l.npy, which has none',
  });
});

test('the cache folder is the one that set-up uses', async () => {
  const { cacheFolders } = await import(resolve('scripts/setup/private-copy.mjs'));
  const environments = [
    { MODE_ENSEMBLE_CACHE: 'here', XDG_CACHE_HOME: '/xdg', HOME: '/home/a' },
    { XDG_CACHE_HOME: '/xdg', HOME: '/home/a' },
    { HOME: '/home/a' },
    {},
  ];
  const expected = [resolve('here'), '/xdg/mode-ensemble', '/home/a/.cache/mode-ensemble'];
  for (const [index, env] of environments.entries()) {
    assert.equal(cacheFolder(env), cacheFolders(env, '/project')[0]);
    assert.equal(cacheFolder(env), expected[index] ?? join(homedir(), '.cache', 'mode-ensemble'));
  }
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
