import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { hasCode } from '../../lib/config/errors.js';
import { writeFileAtomic } from '../../lib/config/files.js';
import {
  EXTRACTOR_VERSION,
  FeatureFile,
  FeatureStore,
  featureKey,
  PLAIN,
  perturbed,
  RANK1,
} from '../../lib/features/index.js';
import { openSafetensors, readFloat32, readInt64 } from '../../lib/features/safetensors.js';

const folder = mkdtempSync(join(tmpdir(), 'features-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

/** A file of a header, given as an object or as raw text, and so many bytes of data. */
function write(header: unknown, data: Uint8Array = new Uint8Array(0), length?: bigint): string {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(length ?? BigInt(json.length));
  const path = join(folder, `${files++}.safetensors`);
  writeFileSync(path, Buffer.concat([size, json, data]));
  return path;
}

const bytes = (values: Float32Array | BigInt64Array) => new Uint8Array(values.buffer);
const KEY = 'ab'.repeat(32);

/** A feature file of two images, three classes and two penultimate features; `change` replaces entries of its header. */
function featureFile(change: Record<string, unknown> = {}, path?: string): string {
  const header = {
    __metadata__: { key: KEY, penultimate: 'stage5' },
    logits: { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] },
    stage5: { dtype: 'F32', shape: [2, 2], data_offsets: [24, 40] },
    labels: { dtype: 'I64', shape: [2], data_offsets: [40, 56] },
    predictions: { dtype: 'I64', shape: [2], data_offsets: [56, 72] },
    ...change,
  };
  const data = Buffer.concat([
    bytes(Float32Array.of(1, 2, 3, 4, 5, 6.5)),
    bytes(Float32Array.of(0.5, 1, 1.5, 2)),
    bytes(BigInt64Array.of(2n, -1n)),
    bytes(BigInt64Array.of(2n, 2n)),
  ]);
  const made = write(header, data);
  if (path === undefined) return made;
  writeFileSync(path, readFileSync(made));
  return path;
}

describe('safetensors', () => {
  it('reads tensors by their ranges', async () => {
    const file = await openSafetensors(featureFile());
    assert.deepEqual([...file.tensors.keys()], ['logits', 'stage5', 'labels', 'predictions']);
    assert.deepEqual(file.tensors.get('logits')?.shape, [2, 3]);
    assert.deepEqual(await readFloat32(file, 'logits'), Float32Array.of(1, 2, 3, 4, 5, 6.5));
    assert.deepEqual(await readInt64(file, 'labels'), Int32Array.of(2, -1));
  });

  it('reads a file without tensors and tensors of size zero', async () => {
    assert.equal((await openSafetensors(write({}))).tensors.size, 0);
    const file = await openSafetensors(write({ a: { dtype: 'F32', shape: [0, 4], data_offsets: [0, 0] } }));
    assert.equal((await readFloat32(file, 'a')).length, 0);
  });

  const tensor = (change: object, name = 'a') => ({
    [name]: { dtype: 'F32', shape: [2], data_offsets: [0, 8], ...change },
  });
  const eight = new Uint8Array(8);
  const bad: [string, () => string, RegExp][] = [
    [
      'no header length',
      () => {
        const path = join(folder, 'short');
        writeFileSync(path, 'abc');
        return path;
      },
      /expected at least 8 bytes, found 3/,
    ],
    [
      'a header longer than the file',
      () => write({}, undefined, 10n),
      /byte 0: expected a header of at most 2 bytes, found a length of 10/,
    ],
    ['a header of 2^63 bytes', () => write({}, undefined, 1n << 63n), /byte 0: expected a header of at most 2 bytes/],
    ['no JSON', () => write('{"a":'), /byte 8: the header is not valid JSON/],
    ['no UTF-8', () => write({}, Uint8Array.of(0xff), 3n), /byte 8: the header is not valid JSON/],
    ['a list for a header', () => write('[]'), /byte 8: expected the header to be a JSON object/],
    [
      'an unknown type',
      () => write(tensor({ dtype: 'F31' }), eight),
      /tensor "a", dtype: expected one of BOOL, .*, found "F31"/,
    ],
    ['a type from the prototype', () => write(tensor({ dtype: 'toString' }), eight), /dtype: expected one of/],
    [
      'a negative side',
      () => write(tensor({ shape: [-2] }), eight),
      /tensor "a", shape: expected a list of whole numbers, found \[-2\]/,
    ],
    [
      'a size that overflows',
      () => write(tensor({ shape: [2 ** 40, 2 ** 40] }), eight),
      /shape: expected a size below 2\^53 bytes/,
    ],
    [
      'offsets of another size',
      () => write(tensor({ data_offsets: [0, 4] }), eight),
      /data_offsets: expected 8 bytes for shape \[2\], found \[0,4\]/,
    ],
    [
      'an end past the file',
      () => write(tensor({}), new Uint8Array(4)),
      /data_offsets: expected an end within the file's 4 bytes of data/,
    ],
    ['bytes after the last tensor', () => write(tensor({}), new Uint8Array(12)), /expected \d+ bytes, found \d+/],
    ['a gap', () => write(tensor({ data_offsets: [4, 12] }), new Uint8Array(12)), /tensor "a": .*found a gap/],
    [
      'an overlap',
      () => write({ ...tensor({}), ...tensor({ data_offsets: [4, 12] }, 'b') }, new Uint8Array(12)),
      /tensor "b": .*found an overlap/,
    ],
    ['an entry that is no object', () => write({ a: 3 }), /tensor "a", entry: expected an object, found 3/],
    [
      'metadata that is no string',
      () => write({ __metadata__: { key: 1 } }),
      /field __metadata__\.key: expected a string/,
    ],
  ];
  for (const [name, make, message] of bad) {
    it(`refuses ${name}`, async () => {
      const path = make();
      await assert.rejects(openSafetensors(path), (error: Error) => {
        assert.ok(hasCode(error, 'E_DATA'), String(error));
        assert.match(error.message, message);
        assert.ok(error.message.startsWith(`${path} is not a whole safetensors file`));
        return true;
      });
    });
  }

  it('says what is missing or of another type', async () => {
    const file = await openSafetensors(featureFile());
    await assert.rejects(readFloat32(file, 'stage6'), {
      code: 'E_DATA',
      message: /expected a tensor "stage6", found logits, stage5/,
    });
    await assert.rejects(readFloat32(file, 'labels'), {
      code: 'E_DATA',
      message: /tensor "labels": expected F32, found I64/,
    });
  });

  it('refuses an int64 beyond 32 bits', async () => {
    const path = write(
      { a: { dtype: 'I64', shape: [2], data_offsets: [0, 16] } },
      bytes(BigInt64Array.of(1n, 1n << 31n)),
    );
    await assert.rejects(readInt64(await openSafetensors(path), 'a'), {
      code: 'E_DATA',
      message: /element 1 of "a".*found 2147483648/,
    });
  });

  it('notices a file replaced after it was opened', async () => {
    const path = featureFile();
    const file = await openSafetensors(path);
    rmSync(path);
    featureFile({ __metadata__: { key: 'cd'.repeat(32), penultimate: 'stage5' } }, path);
    await assert.rejects(readFloat32(file, 'logits'), {
      code: 'E_DATA',
      message: /replaced or changed while it was being read/,
    });
  });

  it('says when there is no such file', async () => {
    await assert.rejects(openSafetensors(join(folder, 'none')), {
      code: 'E_IO',
      message: /none cannot be read: there is no such file or folder \(ENOENT\)\./,
    });
    await assert.rejects(openSafetensors(folder), { code: 'E_DATA', message: /expected a file/ });
  });
});

describe('featureKey', () => {
  const source = {
    weights: 'aa',
    fingerprint: 'bb',
    transform: {
      resize: 32,
      fit: 'both' as const,
      filter: 'bilinear' as const,
      crop: 32,
      mean: [0.5, 0.5, 0.5] as [number, number, number],
      std: [0.25, 0.25, 0.25] as [number, number, number],
    },
    precision: 'float32' as const,
    extractor: EXTRACTOR_VERSION,
    arch: { name: 'cifar-resnet18', width: 16, classes: 10, dropout: 0 },
    pass: PLAIN,
    storage: 'float32' as const,
  };
  it('is the SHA-256 of the canonical JSON', () => {
    // printf '%s' '{"arch":{"classes":10,…},…,"weights":"aa"}' | sha256sum
    assert.equal(
      featureKey({ ...source, extractor: '1' }),
      '99a4211b68a98b9bc3f085e428a20f19a05dbc5d5e11c1ff19c4abe57ca3842d',
    );
  });
  it('does not depend on the order of fields', () => {
    const { weights, ...others } = source;
    assert.equal(featureKey({ ...others, weights }), featureKey(source));
  });
  it('is that of a CPU unless a GPU is named, whichever it is', () => {
    assert.equal(featureKey({ ...source, device: 'cpu' }), featureKey(source));
    assert.equal(featureKey({ ...source, device: 'cuda:1' }), featureKey({ ...source, device: 'cuda:0' }));
  });
  it('changes with every field', () => {
    const keys = [
      source,
      { ...source, weights: 'ab' },
      { ...source, fingerprint: 'ba' },
      { ...source, transform: { ...source.transform, crop: 33 } },
      { ...source, transform: { ...source.transform, fit: 'short' as const } },
      { ...source, transform: { ...source.transform, filter: 'bicubic' as const } },
      { ...source, transform: { ...source.transform, resize: 33 } },
      { ...source, transform: { ...source.transform, mean: [0.5, 0.5, 0.25] as [number, number, number] } },
      { ...source, precision: 'bfloat16' as const },
      { ...source, device: 'cuda:0' },
      { ...source, extractor: '0' },
      { ...source, arch: { ...source.arch, width: 17 } },
      { ...source, arch: { ...source.arch, classes: 11 } },
      { ...source, pass: RANK1 },
      { ...source, pass: perturbed(1000, 0.0014) },
      { ...source, pass: perturbed(1000, 0.001) },
      { ...source, pass: perturbed(1, 0.001) },
      { ...source, pass: perturbed(1, 0.001, 'accumulated') },
      { ...source, storage: 'float16' as const },
      { ...source, after: ['aa'] },
    ].map(featureKey);
    assert.equal(new Set(keys).size, keys.length);
  });
});

describe('FeatureStore', () => {
  const store = () => new FeatureStore(mkdtempSync(join(folder, 'store-')));

  it('opens by key and by path', async () => {
    const it = store();
    featureFile(undefined, it.path(KEY));
    assert.equal(await it.has(KEY), true);
    for (const name of [KEY, it.path(KEY)]) {
      const file = await it.open(name);
      assert.equal(file.count, 2);
      assert.equal(file.classes, 3);
      assert.equal(file.penultimate, 'stage5');
      assert.equal(file.metadata.key, KEY);
      assert.deepEqual(file.shape('stage5'), [2, 2]);
      assert.deepEqual(await file.logits(), Float32Array.of(1, 2, 3, 4, 5, 6.5));
      assert.deepEqual(await file.tensor(file.penultimate), Float32Array.of(0.5, 1, 1.5, 2));
      assert.deepEqual(await file.labels(), Int32Array.of(2, -1));
      assert.deepEqual(await file.predictions(), Int32Array.of(2, 2));
    }
  });

  it('never takes a foreign, damaged or absent file for the one asked for', async () => {
    const it = store();
    const other = 'cd'.repeat(32);
    assert.equal(await it.has(other), false);
    featureFile(undefined, it.path(other));
    assert.equal(await it.has(other), false);
    await assert.rejects(it.open(other), { code: 'E_DATA', message: new RegExp(`its key is ${KEY}`) });
    const whole = readFileSync(it.path(other));
    writeFileSync(it.path(KEY), whole.subarray(0, whole.length - 1));
    assert.equal(await it.has(KEY), false);
    writeFileSync(it.path(KEY), '');
    assert.equal(await it.has(KEY), false);
  });

  it('refuses what is no key', async () => {
    await assert.rejects(store().has('../x'), { code: 'E_CONFIG', message: /"\.\.\/x" is no feature key/ });
  });

  const bad: [string, Record<string, unknown>, RegExp][] = [
    ['without a key', { __metadata__: { penultimate: 'stage5' } }, /expected the field __metadata__\.key/],
    ['without metadata', { __metadata__: undefined }, /expected the field __metadata__\.key/],
    [
      'whose penultimate feature is missing',
      { __metadata__: { key: KEY, penultimate: 'stage6' } },
      /expected a tensor "stage6"/,
    ],
    [
      'with logits of one dimension',
      { logits: { dtype: 'F32', shape: [6], data_offsets: [0, 24] } },
      /"logits": expected 2 dimension/,
    ],
    [
      'with features of other rows',
      { stage5: { dtype: 'F32', shape: [4, 1], data_offsets: [24, 40] } },
      /"stage5": expected 2 rows, found 4/,
    ],
  ];
  for (const [name, change, message] of bad) {
    it(`refuses a file ${name}`, async () => {
      await assert.rejects(FeatureFile.open(featureFile(change)), { code: 'E_DATA', message });
    });
  }

  it('sweeps what was left more than a day ago, and nothing else', async () => {
    const it = store();
    const names = [`${KEY}.safetensors`, `${KEY}.safetensors.tmp-12`, `${KEY}.safetensors.tmp-13-0a`, 'notes.tmp'];
    for (const name of names) {
      writeFileSync(join(it.folder, name), 'x');
      const days = name.endsWith('tmp-12') ? 0.9 : 1.1;
      const then = Date.now() / 1000 - days * 86_400;
      utimesSync(join(it.folder, name), then, then);
    }
    assert.deepEqual(await it.sweep(), [`${KEY}.safetensors.tmp-13-0a`]);
    assert.deepEqual(readdirSync(it.folder).sort(), [names[0], names[1], names[3]].sort());
    assert.deepEqual(await new FeatureStore(join(folder, 'absent')).sweep(), []);
  });
});

describe('writeFileAtomic', () => {
  it('writes, replaces and leaves nothing else', async () => {
    const own = mkdtempSync(join(folder, 'write-'));
    await writeFileAtomic(join(own, 'a.txt'), 'one');
    await writeFileAtomic(join(own, 'a.txt'), Uint8Array.of(50));
    assert.equal(readFileSync(join(own, 'a.txt'), 'utf8'), '2');
    assert.deepEqual(readdirSync(own), ['a.txt']);
  });

  it('keeps what was there when it fails, and names the path', async () => {
    const own = mkdtempSync(join(folder, 'write-'));
    const taken = join(own, 'taken');
    mkdirSync(join(taken, 'inner'), { recursive: true });
    await assert.rejects(writeFileAtomic(taken, 'x'), (error: Error) => {
      assert.ok(hasCode(error, 'E_IO'));
      assert.match(error.message, /taken cannot be written: it is a folder \(EISDIR\)\./);
      return true;
    });
    assert.deepEqual(readdirSync(own), ['taken']);
    await assert.rejects(writeFileAtomic(join(own, 'no', 'b'), 'x'), {
      code: 'E_IO',
      message: /no such file or folder/,
    });
  });

  it('says that a folder is read-only', {
    skip: process.getuid?.() === 0 ? 'root may write anywhere' : false,
  }, async () => {
    const own = mkdtempSync(join(folder, 'write-'));
    chmodSync(own, 0o500);
    await assert.rejects(writeFileAtomic(join(own, 'a'), 'x'), { code: 'E_IO', message: /permission is denied/ });
  });

  it('says that the disk is full', { skip: process.platform !== 'linux' ? 'needs /dev/full' : false }, async () => {
    const { ioError } = await import('../../lib/config/files.js');
    const { open } = await import('node:fs/promises');
    const full = await open('/dev/full', 'w');
    const error = await full.writeFile('x').then(
      () => undefined,
      (reason: unknown) => reason,
    );
    await full.close();
    const mapped = ioError(error, 'run/results.csv', 'written');
    assert.equal(mapped.code, 'E_IO');
    assert.equal(mapped.message, 'run/results.csv cannot be written: the disk is full (ENOSPC).');
  });
});
