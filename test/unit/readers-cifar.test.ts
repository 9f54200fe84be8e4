import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { bytes, little, pickle } from '../helpers/arrays.js';
import { syntheticRecords } from '../helpers/cifar.js';
import { open } from '../helpers/native.js';
import { fails, folder, image, root } from '../helpers/readers.js';

const RECORD = 3073;

describe('cifar10 and cifar100', () => {
  const COUNT = 30; // more than 64 KiB of pixels: a text that the reader of pickles does not hold
  const records = syntheticRecords(COUNT);
  const rows = Array.from({ length: COUNT }, (_, i) => records.subarray(i * RECORD + 1, (i + 1) * RECORD));
  const pixels = bytes(...rows);
  const labels = Array.from({ length: COUNT }, (_, i) => records[i * RECORD] as number);
  const array = pickle.array([COUNT, 3072], pickle.bytes(pixels));
  const batch = (data: Uint8Array, list: Uint8Array = pickle.list(labels), key = 'labels') =>
    pickle.whole(pickle.dictionary({ data, [key]: list }));

  it('the fingerprint is the SHA-256 of the records, as before', async () => {
    const data = await open({ path: folder({ 'data_batch_1.bin': records }) });
    const sum = createHash('sha256').update('cifar10 1').update(little(records.length, 8)).update(records);
    assert.equal(data.fingerprint, sum.digest('hex'));
  });

  it('every way to pickle a batch gives the records of the binary layout', async () => {
    const binary = await open({ path: folder({ 'data_batch_1.bin': records }) });
    const columns = Buffer.alloc(pixels.length);
    for (let i = 0; i < COUNT; i++) {
      for (let k = 0; k < 3072; k++) columns[k * COUNT + i] = pixels[i * 3072 + k] as number;
    }
    const ways = {
      bytes: array,
      'as Python 3 writes bytes in protocol 2': pickle.array([COUNT, 3072], pickle.encoded(pixels)),
      'by columns': pickle.array([COUNT, 3072], pickle.bytes(columns), 'u1', true),
      'by columns, encoded': pickle.array([COUNT, 3072], pickle.encoded(columns), 'u1', true),
      'a buffer': pickle.buffer([COUNT, 3072], pixels),
    };
    for (const [way, data] of Object.entries(ways)) {
      const python = await open({ path: folder({ data_batch_1: batch(data) }) });
      assert.deepEqual([python.count, python.classes], [COUNT, binary.classes], way);
      assert.equal(python.fingerprint, binary.fingerprint, way);
      const [ours, theirs] = [image(python.handle, 17, 32), image(binary.handle, 17, 32)];
      assert.deepEqual([ours.label, ours.pixels], [theirs.label, theirs.pixels], way);
      assert.match(ours.name, /data_batch_1 record 17$/);
    }
  });

  it('takes the binary layout where it has the split, else the Python one', async () => {
    const path = folder({
      'data_batch_1.bin': records,
      'cifar-10-batches-py/data_batch_1': batch(array),
      'cifar-10-batches-py/test_batch': batch(array),
    });
    const train = await open({ path, split: 'train' });
    const test = await open({ path, split: 'test' });
    assert.match(image(train.handle, 0, 32).name, /data_batch_1\.bin record 0$/);
    assert.match(image(test.handle, 0, 32).name, /cifar-10-batches-py\/test_batch record 0$/);
    await fails(
      { path: folder({ 'data_batch_1.bin': records }), split: 'test' },
      /no CIFAR-10 files for the split 'test' in '.*': expected test_batch\.bin, or test_batch of the Python version, found 'data_batch_1\.bin'\.$/,
    );
  });

  it('takes the batches by number', async () => {
    const part = (i: number) => records.subarray(i * RECORD, (i + 1) * RECORD);
    const path = folder({ 'data_batch_10.bin': part(2), 'data_batch_2.bin': part(1), 'data_batch_x.bin': part(0) });
    const data = await open({ path });
    assert.deepEqual(
      [0, 1].map((i) => image(data.handle, i, 32).label),
      [1, 2],
    );
  });

  it('labels of CIFAR-100: fine ones, coarse ones, names as published', async () => {
    const both = bytes(...rows.slice(0, 2).map((row, i) => bytes(Uint8Array.of(19 - i, 99 - i), row)));
    const path = folder({ 'cifar-100-binary/train.bin': both });
    const set = { reader: 'cifar100', path, split: 'train' } as const;
    const fine = await open(set);
    assert.deepEqual([fine.classes.length, fine.classes[0], fine.classes[99]], [100, 'apple', 'worm']);
    assert.deepEqual(
      [0, 1].map((i) => image(fine.handle, i, 32).label),
      [99, 98],
    );
    const coarse = await open({ ...set, labels: 'coarse' });
    assert.deepEqual([coarse.classes.length, coarse.classes[19]], [20, 'vehicles_2']);
    assert.deepEqual(
      [0, 1].map((i) => image(coarse.handle, i, 32).label),
      [19, 18],
    );
    assert.deepEqual(image(coarse.handle, 1, 32).pixels, image(fine.handle, 1, 32).pixels);
    assert.notEqual(coarse.fingerprint, fine.fingerprint);
    await fails(
      { ...set, labels: 'super' },
      /^CIFAR-100 has the labels 'coarse' and 'fine': found 'super'/,
      'E_CONFIG',
    );
    await fails({ ...set, split: 'val' }, /^CIFAR-100 has the splits 'train' and 'test': found 'val'/, 'E_CONFIG');
    await fails({ ...set, root: 'x' }, /^CIFAR-100 takes no option 'root'/, 'E_CONFIG');
    await fails(
      { path, labels: 'fine' },
      /^CIFAR-10 takes no option 'labels': expected none, found 'fine'/,
      'E_CONFIG',
    );
    await fails(
      { reader: 'builtin', path: 'shapes', labels: 'x' },
      /^a built-in set takes no option 'labels'/,
      'E_CONFIG',
    );
  });

  it('bad binary files', async () => {
    const broken = (change: (file: Buffer) => Buffer, reader: 'cifar10' | 'cifar100' = 'cifar10') => {
      const right = reader === 'cifar10' ? Buffer.from(records) : bytes('\x00\x63', rows[0] as Uint8Array);
      return { reader, path: folder({ [reader === 'cifar10' ? 'data_batch_1.bin' : 'train.bin']: change(right) }) };
    };
    await fails(
      broken((file) => file.subarray(0, 5000)),
      /data_batch_1\.bin: expected a whole number of CIFAR-10 records of 3,073 bytes, found 5,000 bytes \(1 and a part of the next\); the file is truncated or not a CIFAR-10 batch\.$/,
    );
    await fails(
      broken(() => Buffer.alloc(0)),
      /found 0 bytes \(none\)/,
    );
    const label = (at: number, value: number) => (file: Buffer) => bytes(file.fill(value, at, at + 1));
    await fails(
      broken(label(2 * RECORD, 10)),
      /data_batch_1\.bin: expected labels 0 to 9, found 10 in record 2 \(byte 6146\)\.$/,
    );
    await fails(
      broken(label(0, 20), 'cifar100'),
      /train\.bin: expected coarse labels 0 to 19, found 20 in record 0 \(byte 0\)/,
    );
    await fails(broken(label(1, 100), 'cifar100'), /expected fine labels 0 to 99, found 100 in record 0 \(byte 1\)/);
    await fails(
      broken((file) => file.subarray(1), 'cifar100'),
      /whole number of CIFAR-100 records of 3,074 bytes/,
    );
    const names = folder({ 'train.bin': bytes('\x00\x00', rows[0] as Uint8Array), 'fine_label_names.txt': 'a\nb\n' });
    await fails(
      { reader: 'cifar100', path: names },
      /fine_label_names\.txt: expected 100 class names, one a line, found 2/,
    );
    await fails(
      { path: join(root, 'nowhere') },
      /^'.*nowhere': expected a folder for CIFAR-10, found no such folder\.$/,
    );
  });

  const python = (file: Uint8Array) => ({ path: folder({ data_batch_1: file }) });

  it('nothing of a pickle is run', async () => {
    const mark = join(root, 'was-run');
    const call = bytes('cos\nsystem\n', pickle.text(`touch '${mark}'`), '\x85R');
    await fails(
      python(batch(call)),
      /data_batch_1: byte \d+: names os\.system: refused, a data set's arrays and lists have no use for it/,
    );
    assert.ok(!existsSync(mark));
    await fails(python(batch(bytes('cmine\nThing\n)\x81'))), /names mine\.Thing: refused/);
    await fails(
      python(batch(bytes('ctorch._utils\n_rebuild_tensor_v2\n'))),
      /names torch\._utils\._rebuild_tensor_v2: refused/,
    );
  });

  it('pickles of another kind', async () => {
    const cases: [Uint8Array, RegExp][] = [
      [bytes(''), /data_batch_1: byte 0: expected 1 bytes of a pickle, found its end/],
      [
        bytes('PK\x03\x04', Buffer.alloc(50)),
        /byte 0: expected a CIFAR-10 batch, a pickle of protocol 2 to 5, found another file/,
      ],
      [
        pickle.whole(pickle.list([1, 2])),
        /data_batch_1: expected a CIFAR-10 batch, a pickled dictionary, found \[1, 2\]/,
      ],
      [
        pickle.whole(pickle.dictionary({ labels: pickle.list([1]) })),
        /expected a CIFAR-10 batch with the entry 'data', found the entries 'labels'/,
      ],
      [
        batch(array, pickle.list(labels), 'fine_labels'),
        /with the entry 'labels', found the entries 'data', 'fine_labels'/,
      ],
      [batch(pickle.text('abc')), /'data': expected a numpy array, found 'abc'/],
      [
        batch(pickle.array([COUNT, 3072], pickle.bytes(pixels), 'f4')),
        /'data': expected uint8 \('u1'\) \[N, 3072\], found 'f4' \[30, 3072\]/,
      ],
      [batch(pickle.array([COUNT, 1024, 3], pickle.bytes(pixels))), /found 'u1' \[30, 1024, 3\]/],
      [
        batch(pickle.array([31, 3072], pickle.bytes(pixels))),
        /'data': expected 31 images of 3,072 bytes as its shape says, found 92,160 bytes/,
      ],
      [batch(array, pickle.list(labels.slice(1))), /'labels': expected 30 labels, one an image, found 29/],
      [
        batch(array, pickle.list(labels.map((label) => (label === 9 ? 10 : label)))),
        /'labels': expected labels 0 to 9, found 10 for image 9/,
      ],
      [batch(array, pickle.list(labels.map(() => -1))), /found -1 for image 0/],
      [batch(array, pickle.text('abc')), /'labels': expected a list of whole numbers, found 'abc'/],
      [
        batch(array).subarray(0, 50_000),
        /data_batch_1: byte \d+: expected a text of 92160 bytes, found \d+ bytes to the end/,
      ],
      [batch(array).subarray(0, -1), /data_batch_1: byte \d+: expected 1 bytes of a pickle, found its end/],
    ];
    for (const [file, message] of cases) await fails(python(file), message);
    const legacy = folder({});
    copyFileSync('test/fixtures/checkpoints/legacy-python2.t7', join(legacy, 'data_batch_1'));
    await fails(
      { path: legacy },
      /data_batch_1: expected a CIFAR-10 batch, a pickled dictionary, found integer of 10 bytes/,
    );
    const meta = folder({
      data_batch_1: batch(array),
      'batches.meta': pickle.whole(pickle.dictionary({ label_names: pickle.texts(['a']) })),
    });
    await fails({ path: meta }, /batches\.meta: 'label_names': expected a list of 10 names, found \['a'\]/);
  });

  it('files that cannot be read', { skip: process.getuid?.() === 0 ? 'root may read all' : false }, async () => {
    const path = folder({ data_batch_1: batch(array) });
    chmodSync(join(path, 'data_batch_1'), 0);
    await fails({ path }, /cannot read .*data_batch_1: Permission denied/);
  });
});
