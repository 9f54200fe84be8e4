/** The readers whose images are files in folders: folder, imagenet. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { testData } from '../helpers/data.js';
import { contents, fresh, openSet, plant, read, refusal, TREE, TREE_ORDER } from '../helpers/image-sets.js';

describe('folder', () => {
  it('keeps torchvision’s order, labels and names, for any number of threads', async () => {
    const root = plant(fresh(), TREE);
    const fingerprints = new Set<string>();
    for (const threads of [1, 2, 7]) {
      const data = await openSet('folder', `${root}/`, { threads });
      assert.deepEqual(data.classes, ['Zebra', 'a', 'a-b', 'é']);
      assert.deepEqual(contents(data, root), TREE_ORDER);
      fingerprints.add(data.fingerprint);
    }
    assert.equal(fingerprints.size, 1);
  });

  it('has the fingerprint that it had before indices were kept', async () => {
    const root = fresh();
    for (const [name, text] of [
      ['a/1', 'one'],
      ['b/2', 'two!'],
    ] as const) {
      mkdirSync(dirname(join(root, name)));
      writeFileSync(join(root, name), text);
    }
    const number = (value: number) => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(BigInt(value));
      return bytes;
    };
    const { createHash } = await import('node:crypto');
    const sum = createHash('sha256').update('folder 1');
    sum.update(number(3)).update('a/1').update(number(3)).update(number(3)).update('b/2').update(number(4));
    sum.update('one').update('two!');
    assert.equal((await openSet('folder', root)).fingerprint, sum.digest('hex'));
  });

  it('takes a folder without sub-folders as one class', async () => {
    const root = plant(fresh('flat'), ['b.png', 'a.png']);
    const data = await openSet('folder', root);
    assert.deepEqual(data.classes, ['flat']);
    assert.deepEqual(contents(data, root), [
      ['flat', 'a.png', 1],
      ['flat', 'b.png', 0],
    ]);
  });

  it('enters each folder once where links make loops, under the first of its names', async () => {
    const root = plant(fresh(), ['a/1.png', 'b/2.png', 'c/deep/3.png']);
    symlinkSync('..', join(root, 'a', 'up'));
    symlinkSync(root, join(root, 'b', 'root'));
    symlinkSync(join(root, 'c', 'deep'), join(root, 'b', 'other'));
    symlinkSync('.', join(root, 'c', 'self'));
    const expected = [
      ['a', 'a/1.png', 0],
      ['b', 'b/2.png', 1],
      ['b', 'b/other/3.png', 2],
    ];
    // Many times, since with two threads the order in which they arrive differs.
    for (let round = 0; round < 40; round++) {
      const data = await openSet('folder', root, { threads: 1 + (round % 4) });
      assert.deepEqual(data.classes, ['a', 'b', 'c']);
      assert.deepEqual(contents(data, root), expected);
    }
  });

  it('takes a link to nothing as a file that cannot be read', async () => {
    const root = plant(fresh(), ['a/1.png']);
    symlinkSync('nowhere', join(root, 'a', '2.png'));
    const data = await openSet('folder', root);
    assert.equal(data.count, 2);
    assert.throws(() => read(data, 1), {
      code: 'E_DATA',
      message: `cannot read ${root}/a/2.png: there is no such file.`,
    });
  });

  it('names what it was not given', async () => {
    const root = plant(fresh(), ['a/1.png']);
    assert.equal(
      await refusal(openSet('folder', root, { labels: 'x' }), 'E_CONFIG'),
      "A folder of images takes no option 'labels': expected none, found 'x'.",
    );
    assert.match(await refusal(openSet('folder', root, { root: 'x' }), 'E_CONFIG'), /takes no option 'root'/);
    assert.equal(
      await refusal(openSet('folder', root, { split: 'test' })),
      `no split 'test' in '${root}': expected a sub-folder 'test' and 'val', found 'a'.`,
    );
    mkdirSync(join(root, 'val'));
    assert.match(await refusal(openSet('folder', root, { split: 'test' })), /val', found none there/);
  });

  it('names a folder and a file that it may not read', async (t) => {
    if (process.getuid?.() === 0) return t.skip('permissions do not bind root');
    const root = plant(fresh(), ['a/1.png', 'b/2.png']);
    chmodSync(join(root, 'b', '2.png'), 0);
    const data = await openSet('folder', root);
    assert.throws(() => read(data, 1), { code: 'E_DATA', message: `cannot read ${root}/b/2.png: Permission denied.` });
    chmodSync(join(root, 'b'), 0);
    const sentence = await refusal(openSet('folder', root));
    chmodSync(join(root, 'b'), 0o755);
    assert.equal(sentence, `cannot list the folder '${root}/b': Permission denied.`);
  });
});

describe('imagenet', () => {
  it('labels classes by their position among all 1,000', async () => {
    const known: [string, number][] = [
      ['n01440764', 0],
      ['n02123597', 284],
      ['n03028079', 497],
      ['n03445777', 574],
      ['n03888257', 701],
      ['n15075141', 999],
    ];
    const root = fresh();
    plant(
      join(root, 'train'),
      known.map(([name]) => `${name}/${name}_1.JPEG`),
    );
    plant(join(root, 'val'), ['n03445777/ILSVRC2012_val_00000001.JPEG']);
    writeFileSync(join(root, 'train', 'README.txt'), 'passed over');
    const train = await openSet('imagenet', root, { split: 'train' });
    assert.equal(train.classes.length, 1000);
    assert.deepEqual(train.classes, [...train.classes].sort());
    assert.deepEqual(
      Array.from({ length: train.count }, (_, i) => [train.classes[read(train, i).label], read(train, i).label]),
      known,
    );
    const test = await openSet('imagenet', root, { split: 'test' });
    assert.deepEqual([test.count, read(test, 0).label], [1, 574]);
    const whole = await openSet('imagenet', join(root, 'train'));
    assert.equal(whole.fingerprint, train.fingerprint);
  });

  it('takes the labelled `val` for tests, not the flat `test` beside it', async () => {
    const root = plant(fresh(), [
      'train/n01440764/1.JPEG',
      'val/n03445777/1.JPEG',
      'test/ILSVRC2012_test_00000001.JPEG',
    ]);
    const test = await openSet('imagenet', root, { split: 'test' });
    assert.deepEqual([test.count, read(test, 0).label], [1, 574]);
    assert.equal(read(test, 0).name, `${root}/val/n03445777/1.JPEG`);
    const own = plant(fresh(), ['train/n01440764/1.JPEG', 'test/n03445777/1.JPEG']);
    assert.equal(read(await openSet('imagenet', own, { split: 'test' }), 0).name, `${own}/test/n03445777/1.JPEG`);
    const neither = plant(fresh(), ['a/1.png']);
    assert.equal(
      await refusal(openSet('imagenet', neither, { split: 'test' })),
      `no split 'test' in '${neither}': expected a sub-folder 'val' and 'test', found 'a'.`,
    );
  });

  it('says what is not ImageNet', async () => {
    const root = plant(fresh(), ['train/n01440764/1.JPEG', 'val/ILSVRC2012_val_00000001.JPEG']);
    assert.equal(
      await refusal(openSet('imagenet', root)),
      `'${root}': expected folders named by the 1,000 classes of ImageNet, as 'n01440764', found 'train'; ask for the split 'train' or 'test'.`,
    );
    assert.equal(
      await refusal(openSet('imagenet', root, { split: 'test' })),
      `'${root}/val': expected a folder for each class, named as 'n01440764', found the image 'ILSVRC2012_val_00000001.JPEG' beside them, as the validation archive unpacks; move each image into its class's folder, or give a list of images and labels (list:FILE).`,
    );
    mkdirSync(join(root, 'train', 'n01440765'));
    assert.match(
      await refusal(openSet('imagenet', root, { split: 'train' })),
      /found 'n01440765'; for images of other classes use the reader 'folder'\.$/,
    );
    assert.match(await refusal(openSet('imagenet', fresh())), /^no images: .* found no folder\.$/);
  });

  it('knows the classes of real folders', async (t) => {
    const data = testData();
    if (!data) return t.skip('../shared/data is not there');
    const sample = await openSet('imagenet', join(data, 'imagenet-sample'), { threads: 2 });
    assert.equal(sample.count, 250);
    const part = await openSet('imagenet', join(data, 'imagenette'), { split: 'test' });
    assert.equal(part.count, 400);
    // Of ImageNette's ten classes, in order: tench, English springer, cassette player, chain saw, church, French horn,
    // garbage truck, gas pump, golf ball, parachute.
    const labels = new Set(Array.from({ length: part.count }, (_, i) => read(part, i).label));
    assert.deepEqual([...labels], [0, 217, 482, 491, 497, 566, 569, 571, 574, 701]);
  });
});
