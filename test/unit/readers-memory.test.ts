import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { DataHandle, OpenDataOptions } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { bytes, little, type MatVariable, mat, npy, pickle } from '../helpers/arrays.js';
import { syntheticRecords } from '../helpers/cifar.js';
import { CIFAR_TRANSFORM, open } from '../helpers/native.js';

const root = mkdtempSync(join(tmpdir(), 'mode-ensemble-readers-'));
after(() => rmSync(root, { recursive: true, force: true }));

let folders = 0;
/** A new folder with these files; a name may hold a sub-folder. */
function folder(files: Record<string, Uint8Array | string>): string {
  const path = join(root, String(folders++));
  mkdirSync(path);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), content);
  }
  return path;
}

type Options = Partial<OpenDataOptions> & { path: string };

async function fails(options: Options, message: RegExp, code = 'E_DATA'): Promise<void> {
  await assert.rejects(open(options), (error: Error & { code: string }) => {
    assert.match(error.message, message);
    assert.match(error.message, /\.$/);
    assert.ok(!error.message.includes('\n'), error.message);
    assert.equal(error.code, code, error.message);
    return true;
  });
}

const image = (handle: DataHandle, index: number, side: number) =>
  getAddon().readImage(handle, index, { ...CIFAR_TRANSFORM, resize: side, crop: side });

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
      /cannot open '.*nowhere' for CIFAR-10: expected a folder, but there is no such folder/,
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

describe('svhn', () => {
  /** 4 × 4 pixels, column by column, channel by channel, image by image. */
  const images = (count: number): MatVariable => ({
    name: 'X',
    shape: [4, 4, 3, count],
    data: Uint8Array.from({ length: 48 * count }, (_, i) => (i * 7) % 256),
  });
  const digits = (...values: number[]): MatVariable => ({
    name: 'y',
    shape: [values.length, 1],
    data: Uint8Array.from(values),
  });
  const set = (...variables: MatVariable[]): Options => ({
    reader: 'svhn',
    path: join(folder({ 'a.mat': mat(...variables) }), 'a.mat'),
    split: '',
  });
  const packed = (variable: MatVariable): MatVariable => ({ ...variable, compressed: true });

  it('pixels by rows, labels of which 10 is the digit 0', async () => {
    const data = await open(set(images(2), digits(10, 3)));
    assert.equal(data.count, 2);
    for (const n of [0, 1]) {
      const found = image(data.handle, n, 4);
      assert.equal(found.label, [0, 3][n]);
      assert.match(found.name, new RegExp(`a\\.mat record ${n}$`));
      for (let y = 0; y < 4; y++) {
        for (let x = 0; x < 4; x++) {
          for (let c = 0; c < 3; c++) {
            assert.equal(found.pixels[(y * 4 + x) * 3 + c], ((y + 4 * (x + 4 * (c + 3 * n))) * 7) % 256);
          }
        }
      }
    }
  });

  it('the same content has one fingerprint, however it is stored', async () => {
    const fingerprint = async (...variables: MatVariable[]) => (await open(set(...variables))).fingerprint;
    const plain = await fingerprint(images(3), digits(1, 2, 10));
    assert.equal(await fingerprint(packed(images(3)), packed(digits(1, 2, 10))), plain);
    const real = { ...digits(1, 2, 10), data: Float64Array.of(1, 2, 10), shape: [1, 3] };
    assert.equal(
      await fingerprint({ name: 'note', shape: [1, 2], data: Float64Array.of(1, 2) }, real, images(3)),
      plain,
    );
    assert.notEqual(await fingerprint(images(3), digits(1, 2, 9)), plain);
  });

  it('a folder and its splits, or the file itself', async () => {
    const path = folder({
      'extra_32x32.mat': mat(images(2), digits(1, 2)),
      'train_32x32.mat': mat(images(1), digits(5)),
    });
    const count = async (options: Options) => (await open({ reader: 'svhn', ...options })).count;
    assert.equal(await count({ path, split: 'extra' }), 2);
    assert.equal(await count({ path, split: 'train' }), 1);
    // A file needs no split; that which is filled in where none is asked for does no harm.
    for (const split of ['', 'test']) assert.equal(await count({ path: join(path, 'extra_32x32.mat'), split }), 2);
    const reader = 'svhn';
    await fails(
      { reader, path, split: 'test' },
      /^no SVHN file for the split 'test' in '.*': expected test_32x32\.mat, found 'extra_32x32\.mat' and 'train_32x32\.mat'/,
    );
    await fails({ reader, path, split: '' }, /^SVHN has the splits 'train', 'test' and 'extra': found ''/, 'E_CONFIG');
    await fails({ reader, path, split: 'val' }, /found 'val'/, 'E_CONFIG');
    await fails({ reader, path, labels: 'x' }, /^SVHN takes no option 'labels'/, 'E_CONFIG');
    await fails({ reader, path: join(path, 'no.mat'), split: '' }, /^cannot read .*no\.mat: there is no such file/);
  });

  it('what follows the two variables does no harm', async () => {
    const { path } = set(images(1), digits(1));
    writeFileSync(path, bytes(readFileSync(path), '\xff'.repeat(100)));
    assert.equal((await open({ reader: 'svhn', path, split: '' })).count, 1);
  });

  it('bad files', async () => {
    const file = (content: Uint8Array): Options => ({
      reader: 'svhn',
      path: join(folder({ 'a.mat': content }), 'a.mat'),
      split: '',
    });
    const right = mat(images(2), digits(1, 2));
    const header = (version: number) => bytes(right.subarray(0, 124), little(version, 2), 'IM');
    const four = bytes(little(0, 4), little(1, 4), little(1, 4), little(0, 4), little(2, 4), 'X\0', Buffer.alloc(8));
    const cases: [Options, RegExp][] = [
      [file(bytes('')), /a\.mat: byte 0: expected the 128 bytes of a MAT-file's header, found the end of the file/],
      [
        file(header(0x0200)),
        /a\.mat: byte 124: expected a MAT-file of version 5 to 7, found one of version 7\.3, which is HDF5; load it in MATLAB and save it again with the option -v7\.$/,
      ],
      [file(bytes('\x89HDF\r\n\x1a\n', Buffer.alloc(500))), /which is HDF5/],
      [file(four), /byte 0: expected a MAT-file of version 5 to 7, found one of version 4/],
      [
        file(Buffer.alloc(500, 'a')),
        /byte 126: expected the 'IM' or 'MI' of a MAT-file of version 5, found another file/,
      ],
      [
        file(right.subarray(0, 200)),
        /byte 128: expected a variable of 160 bytes, found 64 to the end of the file: it is cut short/,
      ],
      [file(right.subarray(0, 128)), /a\.mat: expected the variables 'X' and 'y', found no 'X'/],
      [set(digits(1)), /expected the variables 'X' and 'y', found no 'X'/],
      [set({ ...images(1), name: 'x' }, digits(1)), /found no 'X' but 'x'/],
      [set(images(1)), /found no 'y'/],
      [set(images(1), images(1)), /variable 'X': expected one, found a second/],
      [
        set({ ...images(1), data: new Float64Array(48) }),
        /byte 128: variable 'X': expected uint8 height × width × 3 × N, found double 4 × 4 × 3 × 1/,
      ],
      [set({ ...images(1), shape: [4, 3, 4, 1] }), /found uint8 4 × 3 × 4 × 1/],
      [
        set({ ...images(1), shape: [4, 4, 3, 5] }),
        /variable 'X': expected at most \d+ numbers, as many as the file can hold, found dimensions for more/,
      ],
      [set(packed({ ...images(1), shape: [4, 4, 3, 2] })), /variable 'X': expected at most \d+ numbers/],
      [
        set({ ...images(2), shape: [4, 4, 3, 1] }),
        /variable 'X': expected 48 bytes of numbers as its dimensions say, found 96/,
      ],
      [set(images(2), digits(1, 2, 3)), /expected a label for each image, found 2 images in 'X' and 3 labels in 'y'/],
      [
        set(images(2), digits(1, 11)),
        /variable 'y': expected the digits 0 to 9 as labels, or 10 for 0, found 11 for image 1\.$/,
      ],
      [set(images(2), { ...digits(1, 2), data: Float64Array.of(1, 1.5) }), /found 1\.5 for image 1/],
      [
        set(images(4), { ...digits(1, 2, 3, 4), shape: [2, 2] }),
        /variable 'y': expected N × 1 numbers, found uint8 2 × 2/,
      ],
    ];
    for (const [options, message] of cases) await fails(options, message);
    const packedFile = mat(packed(images(20)), packed(digits(...Array(20).fill(1))));
    packedFile[200] = (packedFile[200] as number) ^ 0x55;
    await fails(file(packedFile), /a\.mat: byte \d+: the compressed variable is damaged: /);
  });
});

describe('npy', () => {
  const pixels = (count: number) => Uint8Array.from({ length: count }, (_, i) => (i * 11) % 256);
  const three = npy('|u1', '(3, 2, 2, 3)', pixels(36));
  const set = (files: Record<string, Uint8Array | string>, options: Partial<OpenDataOptions> = {}): Options => ({
    reader: 'npy',
    path: join(folder(files), 'fog.npy'),
    split: '',
    ...options,
  });
  const labelsOf = async (options: Options) => {
    const { handle, count } = await open(options);
    return Array.from({ length: count }, (_, i) => image(handle, i, 2).label);
  };
  const numbers = (...values: number[]) => npy('<i8', `(${values.length},)`, BigInt64Array.from(values, BigInt));

  it('pixels as they are, gray ones as RGB', async () => {
    const color = await open(set({ 'fog.npy': three }));
    assert.deepEqual([color.count, color.classes], [3, ['0']]);
    assert.deepEqual(image(color.handle, 1, 2).pixels, pixels(36).subarray(12, 24));
    assert.match(image(color.handle, 1, 2).name, /fog\.npy record 1$/);
    for (const shape of ['(9, 2, 2)', '(9, 2, 2, 1)']) {
      const gray = await open(set({ 'fog.npy': npy('|u1', shape, pixels(36)) }));
      const expected = [...pixels(36).subarray(32)].flatMap((value) => [value, value, value]);
      assert.deepEqual([...image(gray.handle, 8, 2).pixels], expected);
    }
  });

  it('labels: those asked for, a file of the same name, labels.npy, none', async () => {
    const files = { 'fog.npy': three, 'labels.npy': numbers(0, 1, 2) };
    assert.deepEqual(await labelsOf(set(files)), [0, 1, 2]);
    assert.deepEqual(await labelsOf(set({ ...files, 'fog_labels.npy': numbers(3, 3, 3) })), [3, 3, 3]);
    const all = {
      ...files,
      'fog_labels.npy': numbers(3, 3, 3),
      'fog-labels.npy': numbers(4, 4, 4),
      'deep/x.npy': numbers(7, 8, 9),
    };
    assert.deepEqual(await labelsOf(set(all)), [4, 4, 4]);
    assert.deepEqual(await labelsOf(set(all, { labels: 'deep/x.npy' })), [7, 8, 9]);
    assert.deepEqual(await labelsOf(set({ 'fog.npy': three }, { labels: join(folder(all), 'labels.npy') })), [0, 1, 2]);
    assert.deepEqual(await labelsOf(set({ 'fog.npy': three })), [0, 0, 0]);
    const named = await open(set({ ...files, 'classes.txt': 'cat\ndog\r\n\nbird\n' }));
    assert.deepEqual(named.classes, ['cat', 'dog', 'bird']);
    const fingerprint = async (options: Options) => (await open(options)).fingerprint;
    assert.notEqual(await fingerprint(set(files)), await fingerprint(set({ 'fog.npy': three })));
  });

  it('bad files', async () => {
    const cases: [Options, RegExp][] = [
      [
        set({ 'fog.npy': 'PK' }),
        /fog\.npy: byte 0: expected a \.npy file, which begins with \\x93NUMPY, found another file/,
      ],
      [
        set({ 'fog.npy': bytes('\x93NUMPY\x04\x00', three.subarray(8)) }),
        /byte 6: expected format version 1\.0 to 3\.0, found 4\.0/,
      ],
      [set({ 'fog.npy': three.subarray(0, 50) }), /byte 50: expected a header of 66 bytes, found the end of the file/],
      [
        set({ 'fog.npy': three.subarray(0, -1) }),
        /expected '\|u1' \[3, 2, 2, 3\], 36 bytes behind the header, found the end of the file after 35/,
      ],
      [
        set({ 'fog.npy': npy('|u1', '(4611686018427387904, 2, 2, 3)', pixels(36)) }),
        /found the end of the file after 36/,
      ],
      [
        set({ 'fog.npy': npy('|u1', '(3, 2, 2, 3)', pixels(36), 'True') }),
        /expected an array in C order, found 'fortran_order': True/,
      ],
      [
        set({ 'fog.npy': npy('<f4', '(3, 2, 2, 3)', new Float32Array(36)) }),
        /expected images, uint8 \[N, height, width, 3\] or \[N, height, width\], found '<f4' \[3, 2, 2, 3\]/,
      ],
      [set({ 'fog.npy': npy('|u1', '(3, 3, 2, 2)', pixels(36)) }), /found '\|u1' \[3, 3, 2, 2\]/],
      [set({ 'fog.npy': npy('|u1', '(0, 2, 2, 3)', pixels(0)) }), /found '\|u1' \[0, 2, 2, 3\]/],
      [
        set({ 'fog.npy': npy("|u1', 'x': __import__('os'), '", '(3, 2, 2, 3)', pixels(36)) }),
        /expected the keys 'descr', 'fortran_order' and 'shape', found 'x'/,
      ],
      [
        set({ 'fog.npy': npy('|u1', '(3, 2, 2, 3).__class__', pixels(36)) }),
        /byte \d+: expected '\}' in the array's header/,
      ],
      [
        set({ 'fog.npy': three, 'labels.npy': numbers(0, 1) }),
        /labels\.npy: byte \d+: expected 3 labels, one an image, found 2/,
      ],
      [
        set({ 'fog.npy': three, 'labels.npy': numbers(0, 1, 10_000) }),
        /labels\.npy: byte \d+: expected labels 0 to 9999, found 10000 for image 2/,
      ],
      [set({ 'fog.npy': three, 'labels.npy': numbers(0, -1, 1) }), /expected labels 0 to 9999, found -1 for image 1/],
      [
        set({ 'fog.npy': three, 'labels.npy': npy('<f8', '(3,)', new Float64Array(3)) }),
        /expected labels, whole numbers \[N\], found '<f8' \[3\]/,
      ],
      [
        set({ 'fog.npy': three, 'labels.npy': numbers(0, 1, 2), 'classes.txt': 'cat\ndog\n' }),
        /classes\.txt: expected at least 3 class names, one a line, since there are labels to 2, found 2/,
      ],
      [set({ 'fog.npy': three }, { labels: 'none.npy' }), /^cannot read .*none\.npy: there is no such file/],
      [set({ 'x.npy': three }), /^cannot read .*fog\.npy: there is no such file/],
      [set({ 'fog.npy/x': '' }), /^cannot read .*fog\.npy: expected a file, found a folder/],
    ];
    for (const [options, message] of cases) await fails(options, message);
    await fails(set({ 'fog.npy': three }, { split: 'test' }), /^a \.npy file has no splits: found 'test'/, 'E_CONFIG');
    await fails(set({ 'fog.npy': three }, { root: 'x' }), /^a \.npy file takes no option 'root'/, 'E_CONFIG');
  });

  it('more than a gigabyte stays in the file', async () => {
    const count = 360_000; // 1.1 GB, of which the disk holds two images
    const options = set({ 'fog.npy': npy('|u1', `(${count}, 32, 32, 3)`, new Uint8Array(0)) });
    const begin = readFileSync(options.path).length;
    const file = openSync(options.path, 'r+');
    for (const i of [0, count - 1]) writeSync(file, pixels(3072), 0, 3072, begin + i * 3072);
    closeSync(file);
    const before = process.memoryUsage().rss;
    const data = await open(options);
    assert.equal(data.count, count);
    for (const i of [0, count - 1]) assert.deepEqual(image(data.handle, i, 32).pixels, pixels(3072));
    assert.deepEqual(image(data.handle, 1, 32).pixels, new Uint8Array(3072));
    assert.ok(process.memoryUsage().rss - before < 100e6);
    truncateSync(options.path, begin + 3072 * 5);
    assert.throws(() => image(data.handle, 5, 32), {
      code: 'E_DATA',
      message: /fog\.npy: byte \d+: the file ends here, 3072 bytes too early\.$/,
    });
    rmSync(options.path);
  });
});
