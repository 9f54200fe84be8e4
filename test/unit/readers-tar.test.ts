/** The reader of tar archives, right ones and others. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { OpenDataOptions, OpenDataResult } from '../../lib/native/contract.js';
import { testData } from '../helpers/data.js';
import { contents, fresh, openSet, plant, png, read, refusal, TREE, TREE_ORDER } from '../helpers/image-sets.js';
import { makeTar, pax, TAR_END, type TarEntry, tarHeader, tarMember } from '../helpers/tar.js';

describe('tar', () => {
  const write = (bytes: Buffer, name = 'set.tar'): string => {
    const path = join(fresh(), name);
    writeFileSync(path, bytes);
    return path;
  };
  const image = (name: string, gray = 0): TarEntry => ({ name, content: png(gray) });
  const inside = (data: OpenDataResult, path: string) => contents(data, path);
  const names = async (bytes: Buffer, options: Partial<OpenDataOptions> = {}) => {
    const path = write(bytes);
    return inside(await openSet('tar', path, options), path).map(([label, name]) => `${label}: ${name}`);
  };
  const byte = async (bytes: Buffer) => {
    const path = write(bytes);
    const sentence = await refusal(openSet('tar', path));
    assert.ok(sentence.startsWith(`${path}`), sentence);
    return sentence.slice(path.length);
  };

  it('gives what the reader of folders gives for the unpacked tree', async () => {
    const root = plant(fresh(), TREE);
    const shuffled = [...TREE].reverse();
    const ways: [string, string[]][] = [
      ['gnu', ['--format=gnu', '-C', root, ...shuffled]],
      ['pax', ['--format=pax', '-C', root, ...shuffled.map((name) => `./${name}`)]],
      ['ustar', ['--format=ustar', '-C', root, '.']],
      ['v7', ['--format=v7', '-C', root, '.']],
      ['below a folder', ['--format=gnu', '-C', dirname(root), basename(root)]],
    ];
    const fingerprints = new Set<string>();
    for (const [what, args] of ways) {
      const path = join(fresh(), 'set.tar');
      execFileSync('tar', ['cf', path, ...args]);
      const data = await openSet('tar', path);
      assert.deepEqual(data.classes, ['Zebra', 'a', 'a-b', 'é'], what);
      assert.deepEqual(inside(data, path), TREE_ORDER, what);
      fingerprints.add(data.fingerprint);
    }
    assert.equal(fingerprints.size, 1);
  });

  it('gives the pixels of real images', async (t) => {
    const data = testData();
    if (!data) return t.skip('../shared/data is not there');
    const path = join(fresh(), 'imagenette.tar');
    execFileSync('tar', ['cf', path, '-C', data, 'imagenette']);
    for (const split of ['train', 'test']) {
      const tar = await openSet('tar', path, { split });
      const folder = await openSet('folder', join(data, 'imagenette'), { split });
      assert.deepEqual([tar.count, tar.classes], [folder.count, folder.classes]);
      for (let i = 0; i < tar.count; i += 37) {
        const [a, b] = [read(tar, i), read(folder, i)];
        assert.equal(basename(a.name), basename(b.name));
        assert.deepEqual([a.label, a.pixels], [b.label, b.pixels]);
      }
    }
  });

  it('reads an archive of archives, each a class', async () => {
    const inner = (name: string, gray: number) =>
      makeTar([image(`${name}_2.JPEG`, gray), image(`./${name}_1.JPEG`, gray + 1)]);
    const path = write(
      makeTar([
        { name: 'n02.tar', content: inner('n02', 10) },
        { name: 'n01.tar', content: inner('n01', 20) },
      ]),
    );
    for (const threads of [1, 3]) {
      const data = await openSet('tar', path, { threads });
      assert.deepEqual(inside(data, path), [
        ['n01', 'n01/n01_1.JPEG', 21],
        ['n01', 'n01/n01_2.JPEG', 20],
        ['n02', 'n02/n02_1.JPEG', 11],
        ['n02', 'n02/n02_2.JPEG', 10],
      ]);
    }
  });

  it('finds the root and the split', async () => {
    assert.deepEqual(await names(makeTar([image('cat/1.png'), image('cat/2.png')])), [
      'cat: cat/1.png',
      'cat: cat/2.png',
    ]);
    assert.deepEqual(await names(makeTar([image('top/cat/1.png'), image('top/dog/2.png')])), [
      'cat: cat/1.png',
      'dog: dog/2.png',
    ]);
    assert.deepEqual(await names(makeTar([image('1.png')])), ['set: 1.png']);
    const splits = makeTar([image('train/cat/1.png'), image('val/cat/2.png'), image('val/ant/3.png')]);
    assert.deepEqual(await names(splits, { split: 'test' }), ['ant: ant/3.png', 'cat: cat/2.png']);
    assert.deepEqual(await names(splits, { split: 'train' }), ['cat: cat/1.png']);
    assert.deepEqual(await names(makeTar([image('test/1.png')]), { split: 'test' }), ['set: 1.png']);
    const below = makeTar([image('set/train/a/1.png'), image('set/test/b/2.png')]);
    assert.deepEqual(await names(below, { split: 'test' }), ['b: b/2.png']);
    const sentence = await refusal(openSet('tar', write(makeTar([image('x/train/a/1.png')])), { split: 'test' }));
    assert.match(sentence, /: no split 'test': expected a top folder 'test' and 'val', found 'x\/train'\.$/);
  });

  it('keeps the later of two members of one name', async () => {
    const path = write(makeTar([image('a/1.png', 1), image('a/2.png', 2), image('a/1.png', 3)]));
    assert.deepEqual(inside(await openSet('tar', path), path), [
      ['a', 'a/1.png', 3],
      ['a', 'a/2.png', 2],
    ]);
  });

  it('reads long names, prefixes and sizes of all kinds', async () => {
    const long = `${'d'.repeat(120)}/${'f'.repeat(150)}.png`;
    const gnu = makeTar([{ name: '././@LongLink', type: 'L', content: Buffer.from(`${long}\0`) }, image('x')]);
    const content = png(5);
    const binary = Buffer.alloc(12);
    binary[0] = 0x80;
    binary.writeUInt32BE(content.length, 8);
    for (const bytes of [
      gnu,
      makeTar([pax({ path: long, mtime: '1.5' }), image('x')]),
      makeTar([{ ...image(`${'f'.repeat(96)}.png`), prefix: 'd'.repeat(120) }]),
      makeTar([pax({ path: long, size: String(content.length) }), { name: 'x', content, size: 0 }]),
      makeTar([pax({ path: long }), { name: 'x', content, size: binary, magic: 'ustar  \0' }]),
      makeTar([{ name: 'g', type: 'g', content: Buffer.from('12 path=zz\n\n') }, pax({ path: long }), image('x')]),
    ]) {
      const path = write(bytes);
      const data = await openSet('tar', path);
      assert.equal(data.count, 1);
      assert.match(read(data, 0).name, /d{120}\/f{96,150}\.png$/);
    }
  });

  it('takes an archive from before POSIX, and one that ends with a single block of zeros', async () => {
    const old = makeTar(
      [
        { name: 'a/', magic: '\0\0\0\0\0\0\0\0', type: '\0' },
        { ...image('a/1.png'), magic: '\0\0\0\0\0\0\0\0', type: '\0' },
      ],
      Buffer.alloc(512),
    );
    assert.deepEqual(await names(old), ['a: a/1.png']);
  });

  it('passes over devices, pipes and what is hidden', async () => {
    const entries = ['3', '4', '6'].map((type) => ({ name: `a/dev${type}`, type }));
    const hidden = ['a/._1.png', 'a/.DS_Store', '.x/1.png'].map((name) => image(name));
    assert.deepEqual(await names(makeTar([...entries, ...hidden, image('a/1.png'), image('b/2.png')])), [
      'a: a/1.png',
      'b: b/2.png',
    ]);
  });

  const whole = makeTar([image('a/1.png'), image('b/2.png')]);
  const refused: [string, Buffer, RegExp][] = [
    ['an empty file', Buffer.alloc(0), /^: byte 0: expected a tar archive, found nothing\.$/],
    ['a text', Buffer.from('hello'), /^: byte 0: expected a tar archive, found a file of 5 bytes\.$/],
    ['another file', Buffer.alloc(2048, 7), /^: byte 0: expected a tar archive, found something else\.$/],
    [
      'gzip',
      gzipSync(whole),
      /^: byte 0: expected an uncompressed tar archive, found gzip; decompress it first \(gzip -d\)\.$/,
    ],
    [
      'xz',
      Buffer.concat([Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), whole]),
      /found xz; decompress it first \(xz -d\)/,
    ],
    [
      'Zstandard',
      Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), whole]),
      /found Zstandard; decompress it first \(zstd -d\)/,
    ],
    [
      'no image',
      makeTar([{ name: 'a/', type: '5' }]),
      /^: no images: expected JPEG or PNG files in the archive, found none\.$/,
    ],
    [
      'a lack of the end',
      whole.subarray(0, 2048),
      /^: byte 2,048: expected a header or the zeros that end an archive, found the end; the archive is cut short\.$/,
    ],
    [
      'a cut in a header',
      whole.subarray(0, 1124),
      /^: byte 1,024: expected a header or .* found only 100 bytes; the archive is cut short\.$/,
    ],
    [
      'a cut in the content',
      whole.subarray(0, 1540),
      /^: byte 1,024: expected a member of \d+ bytes, found only 4 before the end; the archive is cut short, or the size is wrong\.$/,
    ],
    [
      'a size that lies',
      makeTar([{ ...image('a'), size: 1e9 }]),
      /^: byte 0: expected a member of 1,000,000,000 bytes, found only 1,536 before/,
    ],
    [
      'a size beyond all',
      makeTar([{ ...image('a'), size: Buffer.from('80ffffffffffffffffffffff', 'hex') }]),
      /^: byte 0: expected a member's size, found no number\.$/,
    ],
    [
      'a negative size',
      makeTar([{ ...image('a'), size: Buffer.alloc(12, 0xff) }]),
      /^: byte 0: expected a member's size, found no number\.$/,
    ],
    [
      'a wrong checksum',
      makeTar([image('a'), { ...image('b'), checksumOff: 1 }]),
      /^: byte 1,024: expected a tar header, found one whose checksum is wrong\.$/,
    ],
    [
      'a sparse file',
      makeTar([{ ...image('a'), type: 'S' }]),
      /^: byte 0: .* found a sparse one; make the archive without --sparse\.$/,
    ],
    ['a pax sparse file', makeTar([pax({ 'GNU.sparse.major': '1' }), image('a')]), /^: byte 0: .* found a sparse one/],
    [
      'a link',
      makeTar([{ name: 'a', type: '2', link: 'b' }]),
      /^: byte 0: expected files and folders, found the link 'a'; make the archive with/,
    ],
    [
      'a hard link',
      makeTar([image('b'), { name: 'a', type: '1', link: 'b' }]),
      /^: byte 1,024: expected files and folders, found the link 'a'/,
    ],
    ['a volume', makeTar([{ ...image('a'), type: 'M' }]), /found a part of several volumes\.$/],
    ['an unknown type', makeTar([{ ...image('a'), type: 'Q' }]), /found a member of the unknown type 81\.$/],
    [
      'a way out',
      makeTar([image('a/../../b')]),
      /^: byte 0: expected names within the archive, found one that holds '\.\.'\.$/,
    ],
    [
      'bad pax records',
      makeTar([{ ...pax({}), content: Buffer.from('99 path=x\n') }, image('a')]),
      /^: byte 0: expected records of a pax header/,
    ],
    [
      'a bad pax size',
      makeTar([pax({ size: '-1' }), image('a')]),
      /^: byte 0: expected a size in a pax header, found no whole number\.$/,
    ],
    [
      'a huge pax header',
      Buffer.concat([tarHeader({ name: 'x', type: 'x', size: 2 ** 21 }), Buffer.alloc(2 ** 21), TAR_END]),
      /^: byte 0: expected an extended header of at most 1,048,576 bytes, found 2,097,152\.$/,
    ],
    [
      'a long name',
      makeTar([pax({ path: 'x'.repeat(5000) }), image('a')]),
      /^: byte \d[\d,]*: expected a name of at most 4,096 bytes, found 5,000\.$/,
    ],
    [
      'a compressed archive in it',
      makeTar([{ name: 'n01.tar', content: gzipSync(whole) }]),
      /^: byte 512: in 'n01\.tar': expected an uncompressed tar archive, found gzip/,
    ],
    [
      'a cut archive in it',
      makeTar([{ name: 'n01.tar', content: whole.subarray(0, 2048) }]),
      /^: byte 2,560: in 'n01\.tar': expected a header or .* found the end/,
    ],
  ];
  for (const [what, bytes, sentence] of refused) {
    it(`names ${what}`, async () => assert.match(await byte(bytes), sentence));
  }

  it('names a member that is no image, and an archive that was cut since', async () => {
    const path = write(makeTar([{ name: 'a/1.png', content: Buffer.from('text') }, image('a/2.png', 7)]));
    const data = await openSet('tar', path);
    assert.throws(() => read(data, 0), {
      code: 'E_DATA',
      message: `${path}:a/1.png: expected a JPEG or PNG image, found a file of 4 bytes that begins with 74 65 78 74.`,
    });
    writeFileSync(path, readFileSync(path).subarray(0, 1540));
    assert.throws(() => read(data, 1), {
      code: 'E_DATA',
      message: /set\.tar: byte 1540: the file ends here, \d+ bytes too early\.$/,
    });
  });

  it('takes any bytes without harm', () => {
    // Each bit of the first header and of a pax header, then bytes at random; the outcome is a set or an E_DATA.
    const base = makeTar([pax({ path: 'a/1.png' }), image('x'), { name: 'n.tar', content: whole }]);
    const script = `
      const { createRequire } = require('node:module');
      const { readFileSync, writeFileSync } = require('node:fs');
      const addon = createRequire(process.argv[1])(process.argv[1]);
      const [file, base] = [process.argv[2], readFileSync(process.argv[2])];
      let seed = 1;
      const draw = (n) => (seed = (seed * 48271) % 2147483647) % n;
      const fix = (bytes, at) => {
        bytes.fill(32, at + 148, at + 156);
        const sum = bytes.subarray(at, at + 512).reduce((a, b) => a + b, 0);
        bytes.write(sum.toString(8).padStart(6, '0') + '\\0 ', at + 148);
      };
      (async () => {
        const counts = {};
        for (let round = 0; round < 1500; round++) {
          const bytes = Buffer.from(base);
          for (let n = 1 + draw(3); n > 0; n--) bytes[draw(round % 2 ? 2048 : bytes.length)] = draw(256);
          if (round % 3) for (const at of [0, 1024, 2048]) fix(bytes, at);
          writeFileSync(file, round % 7 ? bytes : bytes.subarray(0, draw(bytes.length)));
          const options = { reader: 'tar', path: file, split: '', labels: '', root: '', cache: '', threads: 2, skipBadImages: false };
          const outcome = await addon.openData(options, () => {}).done.then(() => 'set', (error) => error.code);
          counts[outcome] = (counts[outcome] ?? 0) + 1;
        }
        console.log(JSON.stringify(counts));
      })();`;
    const path = write(base);
    const addon = join(process.cwd(), 'build-native/Release/mode_ensemble.node');
    const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', script, addon, path], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    const { set = 0, E_DATA = 0, ...others } = JSON.parse(stdout);
    assert.deepEqual(others, {});
    assert.ok(set > 50 && E_DATA > 500, stdout);
  });
});

describe('an archive’s members', () => {
  it('are what the helper makes of them', () => {
    // The helper against GNU tar, so that the tests above stand on more than themselves.
    const path = join(fresh(), 'made.tar');
    writeFileSync(
      path,
      Buffer.concat([
        tarMember({ name: 'a/1', content: Buffer.from('one') }),
        makeTar([pax({ path: 'b/two' }), { name: 'x', content: Buffer.from('2') }]),
      ]),
    );
    assert.deepEqual(execFileSync('tar', ['tf', path], { encoding: 'utf8' }).trim().split('\n'), ['a/1', 'b/two']);
  });
});
