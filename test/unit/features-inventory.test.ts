/** The feature store as people see it: what is there, is it whole, what may be removed. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { formatAge, formatStored, formatVerdicts, parseAge } from '../../lib/cli/features.js';
import { canonicalJson } from '../../lib/config/canonical.js';
import {
  chooseStored,
  EXTRACTOR_VERSION,
  FeatureFile,
  FeatureStore,
  featureKey,
  featureMetadata,
  formatPassId,
  listStored,
  type Pass,
  PLAIN,
  parsePass,
  passId,
  perturbed,
  RANK1,
  removeStored,
  requireStore,
  type StoredFile,
  verifyStored,
} from '../../lib/features/index.js';
import { openSafetensors, readElements, readRows, type TensorInfo } from '../../lib/features/safetensors.js';
import { readRunNames } from '../../lib/run/run-names.js';
import { CONTENT, metadataOf, sourceOf, writeFeatures } from '../helpers/feature-files.js';

const root = mkdtempSync(join(tmpdir(), 'inventory-'));
after(() => rmSync(root, { recursive: true, force: true }));
const newFolder = () => mkdtempSync(join(root, 'store-'));
const sha256 = (text: string | Uint8Array) => createHash('sha256').update(text).digest('hex');
const age = (path: string, days: number) => {
  const then = Date.now() / 1000 - days * 86_400;
  utimesSync(path, then, then);
};
const KEY = metadataOf().key as string;
const OTHER = 'cd'.repeat(32);
/** SHA-256 of all 65,536 float16 as little-endian float32, NaN as 0x7fc00000. */
const NUMPY_HALVES = '385ff5fe69182797cda5f1827e20cf423f4416bc9246f27d0eec27cac9039259';

describe('what a feature file says of itself', () => {
  it('has the key as the SHA-256 of a text inside, and neither path nor time nor name', () => {
    const source = sourceOf();
    const metadata = featureMetadata(source, { arch: 'cifar-resnet18-w4', data: 'cifar10' });
    assert.equal(metadata.key, featureKey(source));
    assert.equal(metadata.key, sha256(metadata.source as string));
    const { weights, fingerprint, transform } = source;
    assert.equal(
      metadata.source,
      canonicalJson({
        after: [],
        arch: { classes: 3, name: 'cifar-resnet18', width: 4 },
        extractor: EXTRACTOR_VERSION,
        fingerprint,
        pass: 'plain',
        precision: 'float32',
        storage: 'float32',
        transform: { ...transform },
        weights,
      }),
    );
    assert.deepEqual(Object.keys(metadata).sort(), ['arch', 'data', 'fingerprint', 'key', 'source']);
  });
});

describe('passes as text', () => {
  const cases: [string, Pass][] = [
    ['plain', PLAIN],
    ['rank1', RANK1],
    ['perturbed:temperature=1000:magnitude=0.0014', perturbed(1000, 0.0014)],
    ['perturbed:temperature=1:magnitude=0.002:gradient=accumulated', perturbed(1, 0.002, 'accumulated')],
  ];
  for (const [text, pass] of cases) {
    it(`reads and writes ${text}`, () => {
      assert.deepEqual(parsePass(text, '--pass'), pass);
      assert.equal(formatPassId(passId(pass)), text);
    });
  }
  it('has a temperature of 1 by default, and without a step is the plain pass', () => {
    assert.deepEqual(parsePass('perturbed: magnitude=0.5', '--pass'), perturbed(1, 0.5));
    assert.deepEqual(parsePass('perturbed:magnitude=0:temperature=9', '--pass'), PLAIN);
    assert.equal(formatPassId('something else'), 'something else');
  });
  const bad: [string, string][] = [
    ['rank2', '--pass: unknown pass "rank2"; the nearest is "rank1"'],
    ['plain:x=1', '--pass: the pass plain has no field "x"; it has none'],
    ['perturbed:magnitde=1', '--pass: the pass perturbed has no field "magnitde"; the nearest is "magnitude"'],
    ['perturbed', '--pass: magnitude: expected a number of at least 0, found nothing'],
    ['perturbed:magnitude=-1', '--pass: magnitude: expected a number of at least 0, found -1'],
    ['perturbed:magnitude=1:temperature=0', '--pass: temperature: expected a number above 0, found 0'],
    ['perturbed:magnitude=1:temperature=hot', '--pass: temperature: expected a number above 0, found hot'],
    ['perturbed:magnitude=1:gradient=mean', '--pass: gradient: expected own or accumulated, found mean'],
  ];
  for (const [text, message] of bad) {
    it(`refuses ${text}`, () => assert.throws(() => parsePass(text, '--pass'), { code: 'E_CONFIG', message }));
  }
});

/** A store with one file in each state. */
function mixed() {
  const folder = newFolder();
  writeFeatures(folder);
  const old = metadataOf(sourceOf({ extractor: '0' }));
  writeFeatures(folder, {}, old);
  writeFeatures(folder, {}, metadataOf(), `${OTHER}.safetensors`);
  const cut = metadataOf(sourceOf({ pass: RANK1 }));
  truncateSync(writeFeatures(folder, {}, cut), 300);
  writeFileSync(join(folder, `${KEY}.skipped.json`), '[{"name": "a.png", "reason": "it is cut"}]');
  writeFileSync(join(folder, `${'ee'.repeat(32)}.skipped.json`), '[]');
  writeFileSync(join(folder, `mahalanobis-${OTHER}.json`), `{"key": "${OTHER}"}`);
  writeFileSync(join(folder, `${KEY}.safetensors.tmp-7-0`), 'x');
  const left = join(folder, `${OTHER}.safetensors.tmp-8-12`);
  writeFileSync(left, 'x');
  age(left, 1.1);
  writeFileSync(join(folder, 'notes.txt'), 'mine');
  writeFileSync(join(folder, 'notes.txt.tmp-7-0'), 'mine');
  mkdirSync(join(folder, `${'ab'.repeat(32)}.safetensors`));
  return { folder, old: old.key as string, cut: cut.key as string };
}

describe('listStored', () => {
  it('tells the state of each file, and what it is of', async () => {
    const { folder, old, cut } = mixed();
    const files = new Map((await listStored(folder)).map((file) => [file.name, file]));
    const states = Object.fromEntries([...files].map(([name, { state }]) => [name, state]));
    assert.deepEqual(states, {
      [`${KEY}.safetensors`]: 'whole',
      [`${old}.safetensors`]: 'outdated',
      [`${OTHER}.safetensors`]: 'foreign',
      [`${cut}.safetensors`]: 'damaged',
      [`${KEY}.skipped.json`]: 'whole',
      [`${'ee'.repeat(32)}.skipped.json`]: 'alone',
      [`mahalanobis-${OTHER}.json`]: 'whole',
      [`${KEY}.safetensors.tmp-7-0`]: 'writing',
      [`${OTHER}.safetensors.tmp-8-12`]: 'leftover',
      'notes.txt': 'unknown',
      'notes.txt.tmp-7-0': 'unknown',
      [`${'ab'.repeat(32)}.safetensors`]: 'unknown',
    });
    const whole = files.get(`${KEY}.safetensors`) as StoredFile;
    const { weights, fingerprint } = sourceOf();
    assert.deepEqual(whole.about, {
      ...{ key: KEY, arch: 'cifar-resnet18-w4', weights, data: 'cifar10', fingerprint, pass: 'plain' },
      ...{ precision: 'float32', storage: 'float32', extractor: EXTRACTOR_VERSION, rows: 2, classes: 3 },
    });
    assert.deepEqual([whole.kind, whole.key, whole.bytes], ['features', KEY, readFileSync(whole.path).length]);
    assert.match(
      files.get(`${cut}.safetensors`)?.reason ?? '',
      /is not a whole safetensors file: byte 0: expected a header/,
    );
    assert.match(files.get(`${OTHER}.safetensors`)?.reason ?? '', /holds other features: its key is/);
    assert.match(files.get(`${old}.safetensors`)?.reason ?? '', /was made by version 0 of the extractor; 5 is in use/);
    assert.equal(files.get(`${KEY}.skipped.json`)?.about.rows, 1);
  });

  it('takes files of earlier versions, which say their key and fingerprint alone', async () => {
    const folder = newFolder();
    const { key, fingerprint } = metadataOf() as { key: string; fingerprint: string };
    writeFeatures(folder, {}, { key, fingerprint, penultimate: 'stage1' });
    const [file] = await listStored(folder);
    assert.equal(file?.state, 'whole');
    assert.deepEqual([file?.about.arch, file?.about.weights, file?.about.rows], [undefined, undefined, 2]);
    assert.deepEqual(
      (await verifyStored([file as StoredFile])).map(({ faults }) => faults),
      [[]],
    );
  });

  it('says that there is no such folder', async () => {
    await assert.rejects(listStored(join(root, 'none')), { code: 'E_IO', message: /there is no such file or folder/ });
  });
});

describe('chooseStored and removeStored', () => {
  const names = (files: readonly StoredFile[]) => files.map(({ name }) => name).sort();

  it('remove what can never be used, and nothing else', async () => {
    const { folder, old, cut } = mixed();
    const removed = await removeStored(chooseStored(await listStored(folder), { stale: true }));
    assert.deepEqual(
      names(removed),
      [
        ...[`${old}.safetensors`, `${OTHER}.safetensors`, `${cut}.safetensors`],
        ...[`${'ee'.repeat(32)}.skipped.json`, `${OTHER}.safetensors.tmp-8-12`],
      ].sort(),
    );
    const left = readdirSync(folder);
    assert.equal(left.length, 7);
    assert.ok(removed.every(({ name }) => !left.includes(name)));
  });

  it('remove everything of ours that is not being written, and nothing of others', async () => {
    const { folder } = mixed();
    await removeStored(chooseStored(await listStored(folder), { all: true }));
    assert.deepEqual(
      readdirSync(folder).sort(),
      [`${KEY}.safetensors.tmp-7-0`, 'notes.txt', 'notes.txt.tmp-7-0', `${'ab'.repeat(32)}.safetensors`].sort(),
    );
  });

  it('remove by the beginning of a key, with what belongs to it', async () => {
    const files = await listStored(mixed().folder);
    assert.deepEqual(names(chooseStored(files, { keys: [KEY.slice(0, 8)] })), [
      `${KEY}.safetensors`,
      `${KEY}.skipped.json`,
    ]);
    const fails = (key: string, message: RegExp) =>
      assert.throws(() => chooseStored(files, { keys: [key] }), { code: 'E_CONFIG', message });
    fails('12', /"12" is no key: expected 4 to 64 hexadecimal digits/);
    fails('../x', /is no key/);
    fails('0123456789abcdef', /key 0123456789abcdef: no file has such a key/);
    const twins = ['a', 'b'].map((last) => ({ ...(files[0] as StoredFile), key: `12345${last.repeat(59)}` }));
    assert.throws(() => chooseStored(twins, { keys: ['12345'] }), { message: /key 12345: 2 keys begin with it/ });
  });

  it('remove by age, alone or with another wish', async () => {
    const { folder, cut } = mixed();
    age(join(folder, `${KEY}.safetensors`), 40);
    age(join(folder, `${cut}.safetensors`), 40);
    age(join(folder, 'notes.txt'), 40);
    const files = await listStored(folder);
    const olderThan = parseAge('30d');
    assert.deepEqual(names(chooseStored(files, { olderThan })), [`${KEY}.safetensors`, `${cut}.safetensors`].sort());
    assert.deepEqual(names(chooseStored(files, { olderThan, stale: true })), [`${cut}.safetensors`]);
    assert.deepEqual(chooseStored(files, { olderThan, keys: [OTHER] }), []);
  });

  it('remove what is of none of the modes and sets of a run', async () => {
    const folder = newFolder();
    const { weights, fingerprint } = sourceOf();
    const skip = metadataOf(sourceOf({ fingerprint: `${fingerprint}+skip` }));
    const mode = metadataOf(sourceOf({ weights: sha256('other') }));
    const set = metadataOf(sourceOf({ fingerprint: sha256('other') }));
    for (const metadata of [metadataOf(), skip, mode, set]) writeFeatures(folder, {}, metadata);
    writeFileSync(join(folder, `${mode.key}.skipped.json`), '[]');
    const unusedBy = { weights: new Set([weights]), fingerprints: new Set([fingerprint]) };
    assert.deepEqual(
      names(chooseStored(await listStored(folder), { unusedBy })),
      [`${mode.key}.safetensors`, `${mode.key}.skipped.json`, `${set.key}.safetensors`].sort(),
    );
  });

  it('leave a file that another process put in the place of the damaged one', async () => {
    const folder = newFolder();
    const path = writeFeatures(folder);
    truncateSync(path, 100);
    const chosen = chooseStored(await listStored(folder), { stale: true });
    assert.equal(chosen.length, 1);
    writeFeatures(folder);
    assert.deepEqual(await removeStored(chosen), []);
    assert.deepEqual(readdirSync(folder), [basename(path)]);
    rmSync(path);
    assert.deepEqual(await removeStored(chosen), []);
  });

  it('remove a link, not what it leads to', async () => {
    const [folder, elsewhere] = [newFolder(), newFolder()];
    const target = writeFeatures(elsewhere);
    symlinkSync(target, join(folder, basename(target)));
    symlinkSync(join(elsewhere, 'nothing'), join(folder, `${OTHER}.safetensors`));
    const files = await listStored(folder);
    assert.deepEqual(files.map(({ state }) => state).sort(), ['unknown', 'whole']);
    await removeStored(chooseStored(files, { all: true }));
    assert.deepEqual(readdirSync(folder), [`${OTHER}.safetensors`]);
    assert.deepEqual(readdirSync(elsewhere), [basename(target)]);
  });

  it('are refused in a folder without any file of ours', async () => {
    const folder = newFolder();
    requireStore(folder, await listStored(folder));
    writeFileSync(join(folder, 'notes.txt'), '');
    const files = await listStored(folder);
    assert.throws(() => requireStore(folder, files), {
      code: 'E_CONFIG',
      message: `${folder}: expected a folder of feature files, such as RUN/features, found 1 file of which none is one`,
    });
    writeFeatures(folder);
    requireStore(folder, await listStored(folder));
  });
});

describe('verifyStored', () => {
  /** What is wrong with the only file of a folder, without its path. */
  async function faultsOf(write: (folder: string) => string): Promise<string[]> {
    const path = write(newFolder());
    const verdicts = await verifyStored(await listStored(join(path, '..')));
    return verdicts.flatMap(({ faults }) => faults.map((fault) => fault.replaceAll(path, 'FILE')));
  }
  const { NaN: nan, POSITIVE_INFINITY: infinity } = Number;
  const many = (rows: number, make: (row: number) => number[]) => Array.from({ length: rows }, (_, row) => make(row));
  const cases: [string, (folder: string) => string, string[]][] = [
    ['nothing', (folder) => writeFeatures(folder), []],
    [
      'numbers that are not finite',
      (folder) =>
        writeFeatures(folder, {
          logits: [
            [1, nan, 3],
            [4, 6, 5],
          ],
          stage: [
            [0, 0],
            [infinity, 1],
          ],
        }),
      [
        'FILE: tensor "logits", row 0: expected finite numbers, found NaN.',
        'FILE: tensor "stage1", row 1: expected finite numbers, found Infinity.',
      ],
    ],
    [
      'negative labels, of which the first are named',
      (folder) =>
        writeFeatures(folder, {
          logits: many(6, () => [1, 2, 3]),
          stage: many(6, () => [0]),
          labels: [-1, 0, -2, -3, -4, -5],
          predictions: many(6, () => [2]).flat(),
        }),
      ['FILE: tensor "labels", rows 0, 2, 3 and 2 more: expected a number of at least 0, found -1.'],
    ],
    [
      'predictions that are not the largest logit, or no class',
      (folder) => writeFeatures(folder, { predictions: [0, 3] }),
      ['FILE: tensor "predictions", rows 0, 1: expected the class of the largest logit, found 0.'],
    ],
    [
      'nothing where the largest logit stands twice',
      (folder) =>
        writeFeatures(folder, {
          logits: [
            [7, 7, 3],
            [1, 2, 2],
          ],
          predictions: [1, 2],
        }),
      [],
    ],
    [
      'another key than in the name',
      (folder) => writeFeatures(folder, {}, metadataOf(), `${OTHER}.safetensors`),
      [`FILE: expected the key ${OTHER}, as in the name, found ${KEY}.`],
    ],
    [
      'a source that is not what the key was made of',
      (folder) => writeFeatures(folder, {}, { ...metadataOf(), source: '{}' }),
      [
        `FILE: field __metadata__.source: expected what the key was made of, found a text of the SHA-256 ${sha256('{}')}.`,
      ],
    ],
    [
      'tensors that contradict the source',
      (folder) =>
        writeFeatures(
          folder,
          {},
          metadataOf(sourceOf({ storage: 'float16', arch: { ...sourceOf().arch, classes: 4 } })),
        ),
      ['FILE: expected logits of 4 classes, found 3.', 'FILE: tensor "stage1": expected F16, found F32.'],
    ],
    [
      'a file that is cut',
      (folder) => {
        const path = writeFeatures(folder);
        truncateSync(path, readFileSync(path).length - 1);
        return path;
      },
      [
        'FILE is not a whole safetensors file: tensor "stage1", data_offsets: expected an end within the file\'s 71 bytes of data, found [56,72].',
      ],
    ],
    [
      'other rows',
      (folder) => writeFeatures(folder, { stage: [[1, 2]] }),
      ['FILE: tensor "stage1": expected 2 rows, found 1.'],
    ],
    [
      'a list of skipped images that is none',
      (folder) => {
        const path = join(folder, `${KEY}.skipped.json`);
        writeFeatures(folder);
        writeFileSync(path, '[{"name": "a", "reason": "b"}, {"name": 3}]');
        return path;
      },
      ['FILE: element 1: expected an object with the texts name and reason.'],
    ],
    [
      'a record of another key',
      (folder) => {
        const path = join(folder, `mahalanobis-${KEY}.json`);
        writeFileSync(path, `{"key": "${OTHER}"}`);
        return path;
      },
      [`FILE: expected the key ${KEY}, as in the name, found ${OTHER}.`],
    ],
    [
      'statistics that are not finite',
      (folder) =>
        writeFeatures(
          folder,
          {
            stage: [
              [0, 1],
              [2, nan],
            ],
          },
          metadataOf(),
          `mahalanobis-statistics-${KEY}.safetensors`,
        ),
      ['FILE: tensor "stage1", row 1: expected finite numbers, found NaN.'],
    ],
  ];
  for (const [title, write, faults] of cases) {
    it(`finds ${title}`, async () => assert.deepEqual(await faultsOf(write), faults));
  }

  it('says what the parser says of JSON that is none', async () => {
    const [fault] = await faultsOf((folder) => {
      const path = join(folder, `mahalanobis-${KEY}.json`);
      writeFileSync(path, '{"key"');
      return path;
    });
    assert.match(fault ?? '', /^FILE: expected JSON \(.*\)\.$/);
  });

  it('finds a wrong number behind the first block, in rows that are longer than one', async () => {
    // 2 rows of 600,000 classes: more than the 524,288 numbers that are looked at at a time.
    const classes = 600_000;
    const row = (largest: number) => Array.from({ length: classes }, (_, index) => (index === largest ? 1 : 0));
    const source = sourceOf({ arch: { ...sourceOf().arch, classes } });
    const logits = [row(599_999), row(3)];
    const found = (predictions: number[]) =>
      faultsOf((folder) => writeFeatures(folder, { logits, predictions }, metadataOf(source)));
    assert.deepEqual(await found([599_999, 3]), []);
    assert.deepEqual(await found([599_999, 4]), [
      'FILE: tensor "predictions", row 1: expected the class of the largest logit, found 4.',
    ]);
    assert.deepEqual(await found([0, 3]), [
      'FILE: tensor "predictions", row 0: expected the class of the largest logit, found 0.',
    ]);
    (logits[1] as number[])[599_998] = nan;
    assert.deepEqual(await found([599_999, 3]), ['FILE: tensor "logits", row 1: expected finite numbers, found NaN.']);
  });

  it('tells its progress in megabytes, and stops when asked to', async () => {
    const { folder } = mixed();
    // 2 rows of 200,000 classes, 1.6 MB.
    const classes = 200_000;
    const logits = [0, 1].map(() => new Array<number>(classes).fill(0));
    const source = sourceOf({ arch: { ...sourceOf().arch, classes } });
    writeFeatures(folder, { logits, predictions: [0, 0] }, metadataOf(source));
    const files = await listStored(folder);
    const events: [number, number][] = [];
    const onProgress = ({ done, total }: { done: number; total: number }) => events.push([done, total]);
    const verdicts = await verifyStored(files, { onProgress });
    // One row a file that is neither temporary nor unknown.
    assert.equal(verdicts.length, 8);
    assert.deepEqual(events.at(-1), [2, 2]);
    assert.ok(events.every(([done], index) => index === 0 || done >= (events[index - 1]?.[0] ?? 0)));
    const stop = new AbortController();
    stop.abort();
    await assert.rejects(verifyStored(files, { signal: stop.signal }), { code: 'E_ABORTED' });
  });

  it('passes over what went away in the meantime', async () => {
    const folder = newFolder();
    const files = (writeFeatures(folder), await listStored(folder));
    rmSync(join(folder, `${KEY}.safetensors`));
    assert.deepEqual(await verifyStored(files), []);
  });
});

describe('features of a run', () => {
  const { weights, fingerprint } = sourceOf();
  const record = {
    data: {
      in: { name: 'C', train: { fingerprint: 'f1' }, test: { fingerprint } },
      out: [{ name: 'O', fingerprint: 'f3' }],
    },
    modes: [{ seed: 1000, sha256: weights }],
  };

  it('have the names that its experiment.json gives', async () => {
    const run = newFolder();
    writeFileSync(join(run, 'experiment.json'), JSON.stringify(record));
    const names = await readRunNames(run);
    assert.deepEqual(
      [...(names?.sets ?? [])],
      [
        ['f1', 'C (train)'],
        [fingerprint, 'C (test)'],
        ['f3', 'O'],
      ],
    );
    assert.deepEqual([...(names?.members ?? [])], [[weights, '1000']]);
    const folder = join(run, 'features');
    mkdirSync(folder);
    writeFeatures(folder);
    writeFeatures(
      folder,
      {},
      metadataOf(sourceOf({ weights: sha256('other'), pass: perturbed(1000, 0.0014), storage: 'float16' })),
    );
    const files = await listStored(folder);
    const now = (files[0]?.modified ?? 0) + 5000;
    for (const file of files) file.modified = now - 5000;
    const text = formatStored('F', files, names, now);
    const cells = text.split('\n').map((line) => line.split(/ {2,}/));
    assert.deepEqual(cells[0], ['key', 'arch', 'member', 'data', 'pass', 'storage', 'rows', 'size', 'age', 'state']);
    const size = (place: number) =>
      `${((files.find(({ key }) => (key === KEY) === (place === 0))?.bytes ?? 0) / 1e3).toFixed(1)} kB`;
    assert.deepEqual(
      cells
        .slice(1, 3)
        .map(([, ...others]) => others)
        .sort(),
      [
        ['cifar-resnet18-w4', '1000', 'C (test)', 'plain', 'float32', '2', size(0), '5 s', 'whole'],
        [
          'cifar-resnet18-w4',
          sha256('other').slice(0, 10),
          'C (test)',
          'perturbed:temperature=1000:magnitude=0.0014',
          'float16',
          '2',
          size(1),
          '5 s',
          'whole',
        ],
      ].sort(),
    );
    assert.match(text, /\n\n2 files, 2\.\d kB, in F: 2 whole\.$/);
  });

  it('have none where experiment.json is absent, damaged or of another kind', async () => {
    const run = newFolder();
    assert.equal(await readRunNames(run), undefined);
    for (const text of ['{', '[]', 'null', '{"data": 3, "modes": [null]}', '{"modes": [{"seed": 1, "sha256": "a"}]}']) {
      writeFileSync(join(run, 'experiment.json'), text);
      assert.equal(await readRunNames(run), undefined, text);
    }
  });
});

describe('how a store is shown', () => {
  it('lists what is wrong and says what removes it; nothing in a file drives the terminal', async () => {
    const { folder } = mixed();
    writeFileSync(join(folder, 'evil\u001b[2Jname\n'), '');
    writeFeatures(folder, {}, { ...metadataOf(sourceOf({ pass: RANK1 })), arch: 'a\u001b]0;x\u0007' });
    const files = await listStored(folder);
    const text = formatStored('F', files, undefined);
    assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f]/);
    assert.match(text, /evil\\x1b\[2Jname\\x0a/);
    assert.match(text, /a\\x1b\]0;x\\x07/);
    assert.match(text, new RegExp(`cifar10 ${sourceOf().fingerprint.slice(0, 10)} `));
    assert.match(text, /mode-ensemble features rm --stale removes what can never be used\.$/);
    assert.equal(formatStored('F', [], undefined), 'F is empty.');
    const [bad] = files;
    assert.equal(
      formatVerdicts('F', [{ file: { ...(bad as StoredFile), bytes: 8 }, faults: ['a\u001b'] }]),
      'a\\x1b\n1 file, 8 bytes, in F: 1 bad.',
    );
  });

  it('has ages that people read', () => {
    assert.deepEqual([0, 59_999, 60e3, 3599e3, 3600e3, 47 * 3600e3, 50 * 3600e3, -5].map(formatAge), [
      ...['0 s', '59 s', '1 min', '59 min', '1 h', '47 h', '2 d', '0 s'],
    ]);
    assert.deepEqual(['90m', '12h', '1.5d', ' 2w '].map(parseAge), [5400e3, 43_200e3, 129_600e3, 1_209_600e3]);
    for (const text of ['', '30', 'd', '-1d', '3y', '1 constructor', '1e3d']) {
      assert.throws(() => parseAge(text), { code: 'E_CONFIG', message: /--older-than: expected an age such as/ }, text);
    }
  });
});

describe('float16', () => {
  /** A file of one tensor of all 65,536 float16. */
  function allHalves(): string {
    const header = Buffer.from(
      JSON.stringify({ a: { dtype: 'F16', shape: [1 << 14, 4], data_offsets: [0, 1 << 17] } }).padEnd(72),
    );
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(72n);
    const path = join(newFolder(), 'halves.safetensors');
    writeFileSync(
      path,
      Buffer.concat([size, header, Buffer.from(Uint16Array.from({ length: 1 << 16 }, (_, i) => i).buffer)]),
    );
    return path;
  }

  it('has the 65,536 values that NumPy gives', async () => {
    const file = await openSafetensors(allHalves());
    const values = await readRows(file, 'a', 0, 1 << 14);
    const bits = new Uint32Array(values.buffer);
    for (const [index, value] of values.entries()) if (Number.isNaN(value)) bits[index] = 0x7fc00000;
    // h = np.arange(65536).astype('u2').view('f2').astype('<f4'); h[np.isnan(h)] = np.uint32(0x7fc00000).view('f4');
    // hashlib.sha256(h.tobytes()).hexdigest(), NumPy 2
    assert.equal(sha256(new Uint8Array(values.buffer)), NUMPY_HALVES);
    // By the definition of both formats: sign, exponent with a bias of 15 or 127, fraction of 10 or 23 bits.
    for (let half = 0; half < 1 << 16; half++) {
      const [sign, exponent, fraction] = [half >> 15, (half >> 10) & 31, half & 1023];
      if (exponent === 0 || exponent === 31) continue;
      assert.equal(bits[half], ((sign << 31) | ((exponent + 112) << 23) | (fraction << 13)) >>> 0, String(half));
    }
    assert.deepEqual(
      [0x0001, 0x03ff, 0x0400, 0x3c00, 0x7bff, 0xfc00].map((half) => values[half]),
      [2 ** -24, 1023 * 2 ** -24, 2 ** -14, 1, 65504, Number.NEGATIVE_INFINITY],
    );
    assert.ok(Object.is(values[0x8000], -0));
  });

  it('is read by rows and by elements, within bounds', async () => {
    const file = await openSafetensors(allHalves());
    const all = await readRows(file, 'a', 0, 1 << 14);
    assert.deepEqual(await readRows(file, 'a', 3840, 2), all.slice(4 * 3840, 4 * 3842));
    assert.deepEqual(await readRows(file, 'a', (1 << 14) - 1, 1), all.slice(-4));
    assert.equal((await readRows(file, 'a', 1 << 14, 0)).length, 0);
    assert.deepEqual(
      await readElements(file, file.tensors.get('a') as TensorInfo, 15_361, 6),
      all.slice(15_361, 15_367),
    );
    for (const [first, count] of [
      [0, (1 << 14) + 1],
      [-1, 1],
      [1 << 14, 1],
      [1, -1],
    ] as const) {
      await assert.rejects(readRows(file, 'a', first, count), RangeError);
    }
  });
});

describe('a file that another process puts in the place of the one that is read', () => {
  it('is read on where it has the same header, and is an error otherwise', async () => {
    const [folder, elsewhere] = [newFolder(), newFolder()];
    const path = writeFeatures(folder);
    const file = await FeatureFile.open(path);
    assert.deepEqual(await file.rows('logits', 0, 1), Float32Array.of(1, 2, 3));
    renameSync(writeFeatures(elsewhere), path);
    assert.deepEqual(await file.rows('logits', 1, 1), Float32Array.of(4, 6, 5));
    assert.deepEqual(await file.labels(), Int32Array.from(CONTENT.labels));
    const replaced = { code: 'E_DATA', message: /it was replaced or changed while it was being read/ };
    renameSync(writeFeatures(elsewhere, {}, metadataOf(sourceOf({ pass: RANK1 }))), path);
    await assert.rejects(file.logits(), replaced);
    renameSync(writeFeatures(elsewhere), path);
    assert.equal((await file.logits()).length, 6);
    // A file without a key stands for nothing but itself.
    const { key: _key, ...keyless } = metadataOf();
    const plain = await openSafetensors(writeFeatures(folder, {}, keyless, 'plain.safetensors'));
    renameSync(writeFeatures(elsewhere, {}, keyless, 'plain.safetensors'), plain.path);
    await assert.rejects(readRows(plain, 'logits', 0, 1), replaced);
  });

  it('is found by its key while it is replaced again and again', async () => {
    const [folder, elsewhere] = [newFolder(), newFolder()];
    writeFeatures(folder);
    const store = new FeatureStore(folder);
    for (let i = 0; i < 50; i++) {
      const [isThere] = await Promise.all([store.has(KEY), renameSync(writeFeatures(elsewhere), store.path(KEY))]);
      assert.ok(isThere);
      assert.equal((await (await store.open(KEY)).logits()).length, 6);
    }
  });
});
