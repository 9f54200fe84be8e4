/** Suites: what is found in a folder, what is said of the rest, and whether it is whole. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { formatInventory, formatVerdicts } from '../../lib/cli/data.js';
import { ModeEnsembleError } from '../../lib/config/errors.js';
import { listSuite } from '../../lib/data/inventory.js';
import { parseDataSpec } from '../../lib/data/spec.js';
import { findSuite, openSuite } from '../../lib/data/suite.js';
import { getSuite, SUITES, type Suite } from '../../lib/data/suites.js';
import {
  explainShortened,
  findArchives,
  md5Of,
  type SetVerdict,
  verifyArchives,
  verifySets,
  verifyTargets,
} from '../../lib/data/verify.js';
import type { Addon, NativeJob, OpenDataOptions, VerifyOptions } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { CIFAR, suiteFolders } from '../helpers/suites.js';

const { root } = suiteFolders();
const cifar10 = getSuite('cifar10');
const imagenet = getSuite('imagenet');

/** Reader and path of each set that is there. */
function where(suite: Suite, path: string): Record<string, string | undefined> {
  const { train, test, out } = findSuite(suite, path);
  return Object.fromEntries(
    [train, test, ...out].map(({ title, spec }) => [title, spec && `${spec.reader}:${spec.path}:${spec.split ?? ''}`]),
  );
}

describe('the table of suites', () => {
  it('finds a suite by name or alias, in any case, and suggests the nearest', () => {
    for (const name of ['cifar10', 'CIFAR10', 'cifar-10', ' Cifar-10 ']) assert.equal(getSuite(name).name, 'cifar10');
    assert.equal(getSuite('ImageNet-1K').name, 'imagenet');
    assert.throws(() => getSuite('imagnet', '--suite'), {
      code: 'E_CONFIG',
      message: '--suite: unknown suite "imagnet"; the nearest is "imagenet"',
    });
    assert.throws(() => getSuite('mnist-c-extra'), {
      message: 'suite: unknown suite "mnist-c-extra"; known are cifar10, cifar100, imagenet, builtin',
    });
  });

  it("has the paper's sets", () => {
    const names = (suite: Suite) => [suite.in.name, ...suite.out.map(({ name }) => name)];
    assert.deepEqual(names(cifar10), ['CIFAR-10', 'SVHN', 'LSUN', 'iSUN', 'Textures', 'Places365']);
    assert.deepEqual(names(imagenet), ['ImageNet-1K', 'iNaturalist', 'SUN', 'Places', 'Textures']);
    assert.deepEqual(
      cifar10.out.map(({ images }) => images),
      [26_032, 10_000, 8_925, 5_640, 10_000],
    );
  });

  it('has names of its own for each set, a place where each belongs, and checksums that are MD5', () => {
    for (const suite of SUITES) {
      const sets = [suite.in, ...suite.out];
      assert.equal(new Set(sets.map(({ name }) => name.toLowerCase())).size, sets.length, suite.name);
      for (const { name, places, archives, images } of sets) {
        assert.ok(places.length > 0 && images > 0, name);
        for (const { md5, url } of archives) {
          assert.match(md5 ?? '', /^[0-9a-f]{32}$/, name);
          assert.match(url, /^https?:\/\//, name);
        }
      }
    }
  });

  it('has the built-in sets that native code has, of their sizes, and its preprocessing as an architecture has it', async () => {
    const builtin = getSuite('builtin');
    const names = [builtin.in, ...builtin.out].map(({ name }) => name);
    assert.deepEqual(names.sort(), [...getAddon().info().builtinSets].sort());
    const states = await listSuite(builtin, 'nowhere');
    assert.deepEqual(
      states.map(({ state, images }) => [state, images]),
      [['complete', 10_000], ...Array(5).fill(['complete', 2_000])],
    );
    const transformOf = (name: string) => getAddon().findArchitecture(name)?.transform;
    assert.deepEqual(cifar10.transform, transformOf('cifar-resnet18'));
    assert.deepEqual(imagenet.transform, transformOf('resnet50'));
  });
});

describe('what is found in a folder', () => {
  it('is nothing where there is nothing', () => {
    const nothing = Object.values(where(cifar10, root()));
    assert.deepEqual(nothing, Array(7).fill(undefined));
    const path = root();
    assert.equal(findSuite(cifar10, path).test.path, join(path, 'cifar-10-batches-bin'));
    assert.equal(findSuite(cifar10, path).out[3]?.path, join(path, 'dtd/images'));
  });

  it('is each set where people have it', () => {
    const path = root(...CIFAR, 'svhn/test_32x32.mat', 'LSUN/', 'iSUN.tar', 'Textures/', 'places/');
    assert.deepEqual(where(cifar10, path), {
      'CIFAR-10 (train)': 'cifar10:cifar-10-batches-bin:train',
      'CIFAR-10 (test)': 'cifar10:cifar-10-batches-bin:test',
      SVHN: 'svhn:svhn:test',
      LSUN: 'folder:LSUN:',
      iSUN: 'tar:iSUN.tar:',
      Textures: 'folder:Textures:',
      Places365: 'folder:places:',
    });
    const other = root(
      ...['CIFAR10/cifar-10-batches-py/test_batch', 'test_32x32.mat', 'LSUN_C/', 'dtd/dtd/images/', 'val_256/'],
    );
    assert.deepEqual(where(cifar10, other), {
      'CIFAR-10 (train)': undefined,
      'CIFAR-10 (test)': 'cifar10:CIFAR10/cifar-10-batches-py:test',
      SVHN: 'svhn:.:test',
      LSUN: 'folder:LSUN_C:',
      iSUN: undefined,
      Textures: 'folder:dtd/dtd/images:',
      Places365: 'folder:val_256:',
    });
    const large = root(
      'ILSVRC2012/val/',
      'ILSVRC2012/train/',
      'iNaturalist/images/',
      'SUN/',
      'Places.tar',
      'dtd/banded/',
    );
    assert.deepEqual(where(imagenet, large), {
      'ImageNet-1K (train)': 'imagenet:ILSVRC2012:train',
      'ImageNet-1K (test)': 'imagenet:ILSVRC2012:test',
      iNaturalist: 'folder:iNaturalist/images:',
      SUN: 'folder:SUN:',
      Places: 'tar:Places.tar:',
      Textures: 'folder:dtd:',
    });
  });

  it('is the first place where there are two, and no other set that is called alike', () => {
    const path = root('cifar-10-batches-py/test_batch', 'cifar-10-batches-py/data_batch_1', ...CIFAR, 'LSUN_resize/');
    const found = where(cifar10, path);
    assert.equal(found['CIFAR-10 (test)'], 'cifar10:cifar-10-batches-bin:test');
    assert.equal(found.LSUN, undefined);
    assert.equal(where(cifar10, root('Places/')).Places365, undefined);
    assert.equal(where(imagenet, root('places365/')).Places, undefined);
    // A folder of the name alone is not CIFAR, nor is any folder with a `test`.
    assert.equal(where(cifar10, root('cifar-10-batches-bin/'))['CIFAR-10 (test)'], undefined);
    assert.equal(where(getSuite('cifar100'), root('test/', 'train/'))['CIFAR-100 (test)'], undefined);
  });

  it('is whole with as many images as its place should have', () => {
    const [val, drawn] = [root('places365/val_256/'), root('places365/test_subset/')];
    const images = (path: string) => findSuite(cifar10, path).out[4]?.images;
    assert.deepEqual([images(val), images(drawn)], [36_500, 10_000]);
  });
});

/** An addon that opens sets of so many images, by the last part of their paths, and verifies them. */
function countingAddon(counts: Record<string, number>, bad: Record<string, string[]> = {}) {
  const opened: OpenDataOptions[] = [];
  let open = 0;
  const job = <T>(work: () => T): NativeJob<T> => ({ done: Promise.resolve().then(work), abort() {} });
  const nameOf = ({ path, split }: OpenDataOptions) => `${path.split('/').at(-1)}${split === 'train' ? ' train' : ''}`;
  const addon = {
    info: () => ({ builtinSets: ['shapes'] }),
    openData: (options: OpenDataOptions) =>
      job(() => {
        const count = counts[nameOf(options)];
        if (count === undefined) throw new ModeEnsembleError('E_DATA', `${options.path}: byte 7 is wrong.`);
        opened.push(options);
        open++;
        return { handle: options, count, classes: ['a'], fingerprint: 'f' };
      }),
    disposeData: () => {
      open--;
    },
    verifyData: ({ data }: VerifyOptions) =>
      job(() => {
        const options = data as unknown as OpenDataOptions;
        const names = bad[nameOf(options)] ?? [];
        const sizes = { bytes: 9, minWidth: 30, minHeight: 20, maxWidth: 500, maxHeight: 400 };
        const list = names.map((name) => ({ name, reason: 'it ends too early' }));
        return { count: counts[nameOf(options)], bad: list, badCount: names.length, seconds: 1.5, ...sizes };
      }),
  } as unknown as Addon;
  return { addon, opened, open: () => open };
}

describe('data ls', () => {
  const path = root(...CIFAR, 'svhn/test_32x32.mat', 'LSUN/', 'iSUN/');
  const counts = { 'cifar-10-batches-bin': 10_000, 'cifar-10-batches-bin train': 7_728, LSUN: 100, iSUN: 8_926 };

  it('tells complete, incomplete, missing and damaged sets apart', async () => {
    const { addon, open } = countingAddon(counts);
    const stages: string[] = [];
    const states = await listSuite(cifar10, path, { addon, onStage: (stage) => stages.push(stage) });
    assert.deepEqual(
      states.map(({ set, state, images, expected }) => [set, state, images, expected]),
      [
        ['CIFAR-10 (train)', 'incomplete', 7_728, 50_000],
        ['CIFAR-10 (test)', 'complete', 10_000, 10_000],
        ['SVHN', 'damaged', null, 26_032],
        ['LSUN', 'incomplete', 100, 10_000],
        ['iSUN', 'complete', 8_926, 8_925],
        ['Textures', 'missing', null, 5_640],
        ['Places365', 'missing', null, 10_000],
      ],
    );
    assert.equal(states[2]?.reason, `${path}/svhn: byte 7 is wrong.`);
    assert.equal(states[5]?.path, join(path, 'dtd/images'));
    assert.deepEqual(stages.at(-1), 'open iSUN');
    assert.equal(open(), 0);
  });

  it('prints a table that fits a terminal, and where to get what is missing', async () => {
    const { addon } = countingAddon(counts);
    const text = formatInventory([cifar10], await listSuite(cifar10, path, { addon }), path);
    const lines = text.replaceAll(path, 'ROOT').split('\n');
    assert.deepEqual(lines.slice(0, 10), [
      'cifar10: CIFAR-10 against SVHN, LSUN (crop), iSUN, Textures and Places365',
      '',
      '  set               state       images      of  in ROOT',
      '  CIFAR-10 (train)  incomplete   7,728  50,000  cifar-10-batches-bin',
      '  CIFAR-10 (test)   complete    10,000  10,000  cifar-10-batches-bin',
      '  SVHN              damaged          –  26,032  svhn',
      '  LSUN              incomplete     100  10,000  LSUN',
      '  iSUN              complete     8,926   8,925  iSUN',
      '  Textures          missing          –   5,640  dtd/images',
      '  Places365         missing          –  10,000  places365/test_subset',
    ]);
    assert.ok(lines.includes('SVHN is damaged: ROOT/svhn: byte 7 is wrong.'));
    const at = lines.indexOf('  Textures, 5,640 images, belongs in dtd/images');
    assert.deepEqual(lines.slice(at + 1, at + 4), [
      '    all images of DTD',
      '    https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz',
      '    625.2 MB, MD5 fff73e5086ae6bdbea199a49dfb8a4c1',
    ]);
    for (const line of lines) assert.ok(line.length <= 100, line);
    assert.ok(text.includes('LSUN.tar.gz') && !text.includes('iSUN.tar.gz'));
    const nowhere = formatInventory([cifar10], [], 'nowhere');
    assert.match(
      nowhere,
      /^Expected the folder that holds the data sets, found no folder nowhere; --data names another\.\n/,
    );
    assert.match(formatInventory([getSuite('builtin')], [], 'nowhere'), /^builtin: /);
  });

  it('stops where it is stopped', async () => {
    const addon = {
      openData: () => ({ done: Promise.reject(new ModeEnsembleError('E_ABORTED', 'stopped')), abort() {} }),
    } as unknown as Addon;
    await assert.rejects(listSuite(cifar10, path, { addon }), { code: 'E_ABORTED' });
  });
});

describe('data verify', () => {
  const path = root(...CIFAR, 'LSUN/', 'dtd/images/', 'svhn/test_32x32.mat');
  const counts = { 'cifar-10-batches-bin': 10, 'cifar-10-batches-bin train': 20, LSUN: 30, images: 40 };

  it('takes each set that is there once, lists what is bad, and goes on after one that cannot be opened', async () => {
    const { addon, open } = countingAddon(counts, { LSUN: ['LSUN/3.png', 'LSUN/7.png'] });
    const targets = verifyTargets([cifar10, imagenet].map((suite) => findSuite(suite, path)));
    const verdicts = await verifySets(targets, { addon, threads: 1 });
    assert.deepEqual(
      verdicts.map(({ set, isGood, result, fault }) => [set, isGood, result?.count ?? fault]),
      [
        ['CIFAR-10 (train)', true, 20],
        ['CIFAR-10 (test)', true, 10],
        ['SVHN', false, `${path}/svhn: byte 7 is wrong.`],
        ['LSUN', false, 30],
        ['Textures', true, 40],
      ],
    );
    assert.equal(open(), 0);
    const lines = formatVerdicts(verdicts, [], ['iSUN', 'Places365']).replaceAll(path, 'ROOT').split('\n');
    assert.deepEqual(lines.slice(3), [
      'SVHN                   –  26,032    –  –         –        –      ROOT/svhn',
      'LSUN                  30  10,000    2  30×20     500×400  1.5 s  ROOT/LSUN',
      'Textures              40   5,640    0  30×20     500×400  1.5 s  ROOT/dtd/images',
      '',
      'SVHN: ROOT/svhn: byte 7 is wrong.',
      '',
      'LSUN, bad images:',
      '  LSUN/3.png: it ends too early',
      '  LSUN/7.png: it ends too early',
      '',
      'Bad: 2 of 5; incomplete: 4 of 5 sets; missing: iSUN, Places365.',
    ]);
    const named = parseDataSpec(`Mine=folder:${path}/LSUN`, 'spec');
    const [mine] = await verifySets([{ title: 'Mine', spec: named, root: '.' }], { addon, threads: 1 });
    assert.deepEqual([mine?.path, mine?.isIncomplete], [`${path}/LSUN`, false]);
    const [head, row] = formatVerdicts([mine as SetVerdict], []).split('\n');
    assert.equal(head, 'set   images  bad  smallest  largest  time   path');
    assert.equal(row, `Mine      30    2  30×20     500×400  1.5 s  ${path}/LSUN`);
  });

  it('tells a file that is read as it was downloaded and holds fewer images as incomplete, not as bad', async () => {
    const { addon } = countingAddon({ svhn: 200, LSUN: 30 });
    const own = root('svhn/test_32x32.mat', 'LSUN/', 'LSUN/LSUN.tar.gz');
    const found = [findSuite(cifar10, own)];
    const sums = await verifyArchives(findArchives(found));
    const states = async (bad: Record<string, string[]>) => {
      const { addon: other } = countingAddon({ svhn: 200, LSUN: 30 }, bad);
      const sets = await verifySets(verifyTargets(found), { addon: other, threads: 1 });
      return explainShortened(sums, sets).map(({ archive, state, isGood }) => [archive, state, isGood]);
    };
    const other = ['LSUN.tar.gz', 'other', false];
    assert.deepEqual(await states({}), [['test_32x32.mat', 'shortened', true], other]);
    assert.deepEqual(await states({ svhn: ['image 3'] }), [['test_32x32.mat', 'other', false], other]);
    const sets = await verifySets(verifyTargets(found), { addon, threads: 1 });
    const text = formatVerdicts(sets, explainShortened(sums, sets)).replaceAll(own, 'ROOT');
    assert.ok(text.includes('test_32x32.mat  another, as images are left out  ROOT/svhn/test_32x32.mat'), text);
    assert.ok(text.includes('SVHN     200  26,032    0'), text);
    assert.ok(text.endsWith('Bad: 1 of 4; incomplete: 2 of 2 sets.'), text);
    assert.match(text, /LSUN\.tar\.gz: expected MD5 458a0a0ab8e5f1cb4516d7400568e460, as published, found d41d8cd9/);
  });

  it('compares archives in and beside the places with their checksums', async () => {
    const text = 'x'.repeat(3_000_000);
    const own = root('dtd/dtd-r1.0.1.tar.gz', 'iSUN.tar.gz', 'other.tar.gz');
    writeFileSync(join(own, 'iSUN.tar.gz'), text);
    assert.equal(await md5Of(join(own, 'iSUN.tar.gz')), createHash('md5').update(text).digest('hex'));
    // MD5 of nothing, RFC 1321.
    assert.equal(await md5Of(join(own, 'other.tar.gz')), 'd41d8cd98f00b204e9800998ecf8427e');
    const archives = findArchives([findSuite(cifar10, own), findSuite(imagenet, own)]);
    assert.deepEqual(archives.map(({ path: file }) => file).sort(), [
      join(own, 'dtd/dtd-r1.0.1.tar.gz'),
      join(own, 'iSUN.tar.gz'),
    ]);
    const done: number[] = [];
    const verdicts = await verifyArchives(archives, { onProgress: ({ done: mb }) => done.push(mb) });
    assert.deepEqual(verdicts.map(({ archive, isGood }) => [archive, isGood]).sort(), [
      ['dtd-r1.0.1.tar.gz', false],
      ['iSUN.tar.gz', false],
    ]);
    assert.equal(Math.max(...done), 3);
    const found = { archive: { name: 'iSUN.tar.gz', url: '', md5: createHash('md5').update(text).digest('hex') } };
    const [good] = await verifyArchives([{ ...found, path: join(own, 'iSUN.tar.gz') }]);
    assert.equal(good?.isGood, true);
    await assert.rejects(md5Of(join(own, 'none')), { code: 'E_IO' });
    await assert.rejects(md5Of(join(own, 'iSUN.tar.gz'), { signal: AbortSignal.abort() }), { code: 'E_ABORTED' });
  });
});

describe('openSuite', () => {
  it('opens what is there and closes all of it', async () => {
    const { addon, open } = countingAddon({ 'cifar-10-batches-bin': 10_000, LSUN: 10_000 });
    const path = root(CIFAR[0], 'LSUN/');
    {
      using suite = await openSuite('cifar10', { root: path, addon });
      assert.deepEqual([suite.test.name, suite.test.count, suite.train], ['CIFAR-10', 10_000, undefined]);
      assert.deepEqual(
        suite.out.map(({ name }) => name),
        ['LSUN'],
      );
      assert.deepEqual(
        suite.missing.map(({ title }) => title),
        ['CIFAR-10 (train)', 'SVHN', 'iSUN', 'Textures', 'Places365'],
      );
      assert.equal(open(), 2);
    }
    assert.equal(open(), 0);
    const damaged = root(CIFAR[0], 'LSUN/', 'iSUN/');
    await assert.rejects(openSuite('cifar10', { root: damaged, addon }), { code: 'E_DATA' });
    assert.equal(open(), 0);
  });
});
