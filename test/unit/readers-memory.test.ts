import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { OpenDataOptions } from '../../lib/native/contract.js';
import { bytes, little, type MatVariable, mat, npy } from '../helpers/arrays.js';
import { open } from '../helpers/native.js';
import { fails, folder, image, type Options } from '../helpers/readers.js';

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
