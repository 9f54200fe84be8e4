/** Indices of large sets that are kept on disk: when they are used, and that bad ones do no harm. */
import assert from 'node:assert/strict';
import {
  cpSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import type { OpenDataResult } from '../../lib/native/contract.js';
import { fresh, openSet, plant, png, read } from '../helpers/image-sets.js';
import { makeTar } from '../helpers/tar.js';

describe('an index that is kept', () => {
  const COUNT = 10_000;
  const PAST = 1_600_000_000;
  /** Two classes of hard links to two small files, as old as an unpacked set. */
  const large = (): string => {
    const root = fresh('large');
    for (const name of ['a', 'b']) {
      mkdirSync(join(root, name));
      const first = join(root, name, '00000.png');
      writeFileSync(first, png(name.charCodeAt(0)));
      utimesSync(first, PAST, PAST);
      for (let i = 1; i < COUNT / 2; i++) linkSync(first, join(root, name, `${String(i).padStart(5, '0')}.png`));
    }
    age(root);
    return root;
  };
  const age = (root: string, by = 0) => {
    for (const folder of ['a', 'b', '.']) utimesSync(join(root, folder), PAST + by, PAST + by);
  };
  const root = large();
  const fields = ({ count, classes, fingerprint }: OpenDataResult) => ({ count, classes, fingerprint });
  const only = (cache: string): string => {
    const names = readdirSync(cache);
    assert.equal(names.length, 1, names.join());
    assert.match(names[0] as string, /^[0-9a-f]{64}\.index$/);
    return join(cache, names[0] as string);
  };
  /** Opens with the cache; tells whether the kept index was written anew. */
  async function reopen(cache: string, path = root): Promise<{ data: OpenDataResult; isNew: boolean }> {
    const before = readdirSync(cache).map((name) => statSync(join(cache, name)).ino);
    const data = await openSet('folder', path, { cache, threads: 2 });
    const now = readdirSync(cache).map((name) => statSync(join(cache, name)).ino);
    return { data, isNew: String(before) !== String(now) };
  }

  it('gives what indexing gives, and is used again', async () => {
    const cache = join(fresh(), 'not', 'yet', 'there');
    const plain = await openSet('folder', root);
    assert.equal(plain.count, COUNT);
    assert.deepEqual(fields(await openSet('folder', root, { cache })), fields(plain));
    const { data, isNew } = await reopen(cache);
    assert.equal(isNew, false);
    assert.deepEqual(fields(data), fields(plain));
    for (const i of [0, 1, 4999, 5000, COUNT - 1]) assert.deepEqual(read(data, i), read(plain, i));
    // A change that no folder's time tells is not seen: proof that the kept index is what was used.
    const added = join(root, 'b', 'added.png');
    writeFileSync(added, '');
    age(root);
    assert.equal((await reopen(cache)).data.count, COUNT);
    unlinkSync(added);
    age(root);
    assert.match(readFileSync(only(cache)).toString('latin1'), /^MODEIDX/);
  });

  it('is not made for small sets, nor where the folder changed a moment ago', async () => {
    const cache = fresh('cache');
    await openSet('folder', plant(fresh(), ['a/1.png']), { cache });
    utimesSync(join(root, 'b'), new Date(), new Date());
    await openSet('folder', root, { cache });
    age(root);
    assert.deepEqual(readdirSync(cache), []);
  });

  it('is of one reader, split and folder', async () => {
    const cache = fresh('cache');
    const parent = dirname(root);
    await openSet('folder', root, { cache });
    const first = only(cache);
    renameSync(root, join(parent, 'train'));
    await openSet('folder', parent, { cache, split: 'train' });
    assert.equal(readdirSync(cache).length, 2);
    // The index of the whole set under the name of the part: not taken.
    const other = readdirSync(cache)
      .map((name) => join(cache, name))
      .find((name) => name !== first) as string;
    const bytes = readFileSync(other);
    cpSync(first, other);
    const data = await openSet('folder', parent, { cache, split: 'train' });
    assert.deepEqual(data.classes, ['a', 'b']);
    assert.deepEqual(readFileSync(other), bytes);
    renameSync(join(parent, 'train'), root);
  });

  it('goes stale by adding, removing and changing a file', async () => {
    const cache = fresh('cache');
    const before = await openSet('folder', root, { cache });
    const added = join(root, 'b', 'added.png');
    writeFileSync(added, png(9));
    const more = await reopen(cache);
    assert.equal(more.data.count, COUNT + 1);
    assert.equal(more.isNew, false, 'the change is too fresh to be kept');
    age(root, 10);
    assert.equal((await reopen(cache)).data.count, COUNT + 1);
    unlinkSync(added);
    age(root, 20);
    const less = await reopen(cache);
    assert.deepEqual([less.data.count, less.isNew], [COUNT, true]);
    assert.equal(less.data.fingerprint, before.fingerprint);
    // All files of a class are one, so one that is sampled is surely among them.
    const first = join(root, 'a', '00000.png');
    const content = readFileSync(first);
    writeFileSync(first, png(1));
    utimesSync(first, PAST + 5, PAST + 5);
    const changed = await reopen(cache);
    assert.equal(changed.isNew, true);
    assert.notEqual(changed.data.fingerprint, before.fingerprint);
    writeFileSync(first, content);
    utimesSync(first, PAST, PAST);
    age(root);
    assert.equal((await reopen(cache)).data.fingerprint, before.fingerprint);
  });

  it('is replaced where it is damaged', async () => {
    const cache = fresh('cache');
    const plain = fields(await openSet('folder', root, { cache }));
    const file = only(cache);
    const whole = readFileSync(file);
    const damages: Buffer[] = [Buffer.alloc(0), Buffer.from('MODEIDX'), whole.subarray(0, whole.length - 1)];
    damages.push(Buffer.concat([whole, Buffer.from('x')]), Buffer.alloc(whole.length));
    const flip = (at: number) => {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] as number) ^ (1 << (at % 8));
      damages.push(bytes);
    };
    for (let at = 0; at < 100; at += 5) flip(at);
    for (let i = 0; i < 20; i++) flip(Math.floor((i / 20) * whole.length));
    flip(whole.length - 1);
    for (const bytes of damages) {
      writeFileSync(file, bytes);
      assert.deepEqual(fields((await reopen(cache)).data), plain);
      assert.deepEqual(readFileSync(file), whole);
    }
  });

  it('is checked in its parts where its checksum is right', async () => {
    const { createHash } = await import('node:crypto');
    const cache = fresh('cache');
    const plain = fields(await openSet('folder', root, { cache }));
    const file = only(cache);
    const whole = readFileSync(file);
    const body = whole.subarray(0, -64);
    // Numbers of all parts: lengths, ends, folders, labels.
    const places = [8, 16, body.length - 8, body.length - 16, body.length - 4 * COUNT, body.length - 8 * COUNT - 30];
    for (let i = 0; i < 40; i++) places.push(Math.floor((i / 40) * (body.length - 8)));
    for (const at of places) {
      for (const value of [0xffffffffffffffffn, 0x7fffffff7fffffffn]) {
        const bytes = Buffer.from(body);
        bytes.writeBigUInt64LE(value, at);
        const sum = createHash('sha256').update(bytes).digest('hex');
        writeFileSync(file, Buffer.concat([bytes, Buffer.from(sum)]));
        // A changed name is a name; all else must not be taken. In no case may it fail.
        const { count } = await openSet('folder', root, { cache });
        assert.equal(count, plain.count);
      }
    }
  });

  it('does without a cache that cannot be written', async () => {
    const file = join(fresh(), 'file');
    writeFileSync(file, '');
    for (const cache of [file, join(file, 'below'), '/proc/nowhere']) {
      assert.equal((await openSet('folder', root, { cache })).count, COUNT);
    }
    // A folder where the kept index would be.
    const cache = fresh('cache');
    await openSet('folder', root, { cache });
    const name = only(cache);
    rmSync(name);
    mkdirSync(join(name, 'x'), { recursive: true });
    assert.equal((await openSet('folder', root, { cache })).count, COUNT);
    assert.deepEqual(readdirSync(cache), [basename(name)]);
  });

  it('is kept of lists and archives too', async () => {
    const cache = fresh('cache');
    const list = join(root, 'list.txt');
    const lines = ['a', 'b'].flatMap((name, label) =>
      readdirSync(join(root, name)).map((file) => `${name}/${file} ${label}`),
    );
    const archive = join(dirname(root), 'large.tar');
    writeFileSync(archive, makeTar(lines.map((line) => ({ name: line.slice(0, -2), content: png(3) }))));
    const check = async (reader: 'list' | 'tar', path: string, change: () => void) => {
      utimesSync(path, PAST, PAST);
      const plain = await openSet(reader, path);
      assert.equal(plain.count, COUNT);
      for (const round of [0, 1]) {
        const data = await openSet(reader, path, { cache });
        assert.deepEqual(fields(data), fields(plain), `round ${round}`);
        assert.deepEqual(read(data, COUNT - 1), read(plain, COUNT - 1));
      }
      change();
      utimesSync(path, PAST, PAST);
      assert.notEqual((await openSet(reader, path, { cache })).fingerprint, plain.fingerprint);
    };
    writeFileSync(list, lines.join('\n'));
    await check('list', list, () => writeFileSync(list, lines.slice(1).join('\n')));
    assert.equal(readdirSync(cache).length, 1);
    await check('tar', archive, () => writeFileSync(archive, makeTar([{ name: 'a.png', content: png(1) }])));
    assert.equal(readdirSync(cache).length, 2);
    unlinkSync(list);
    age(root);
  });
});
