/** The feature store on the command line: extract, features ls, rm and verify, several processes, and one that is killed. */
import assert from 'node:assert/strict';
import { type ChildProcess, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FeatureFile } from '../../lib/features/index.js';
import type { ExtractedFile } from '../../lib/run/run-extract.js';
import { writeCifar } from '../helpers/cifar.js';

const bin = resolve('bin/mode-ensemble.js');
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-e2e-features-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function cli(...args: string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [bin, ...args], { encoding: 'utf8', cwd: folder, timeout: 240_000 });
}

/** A command that ends well, and the JSON that it prints. */
function json(...args: string[]) {
  const result = cli(...args, '--json');
  assert.equal(result.status, 0, result.stderr);
  return JSON.parse(result.stdout);
}

function fails(result: SpawnSyncReturns<string>, status: number, message: RegExp): void {
  assert.equal(result.status, status, result.stderr);
  assert.match(result.stderr.trimEnd().split('\n').at(-1) ?? '', message);
  assert.doesNotMatch(result.stderr, /\n\s+at /, 'a stack was printed');
}

interface Started {
  child: ChildProcess;
  ended: Promise<{ status: number | string; stdout: string; stderr: string }>;
}

function start(...args: string[]): Started {
  const child = spawn(process.execPath, [bin, ...args], { cwd: folder });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk) => {
      text[name] += chunk;
    });
  }
  const ended = new Promise<{ status: number | string; stdout: string; stderr: string }>((done) =>
    child.on('close', (code, signal) => done({ status: code ?? signal ?? '', ...text })),
  );
  return { child, ended };
}

const modeOf = (seed: number) => `run/modes/cifar-resnet20-w4/seed-${seed}/checkpoint.safetensors`;
/** Both modes on the 48 test images, in a store of its own. */
const extractTo = (store: string, ...more: string[]) => [
  ...['extract', '--in', 'C=cifar10:cifar', '--checkpoint', modeOf(1), '--checkpoint', modeOf(2)],
  ...['--features', store, '--threads', '2', ...more],
];
const at = (path: string) => join(folder, path);
const namesIn = (store: string) => readdirSync(at(store)).sort();

before(() => {
  writeCifar(at('cifar'), 1200, 48);
  const experiment = {
    ...{ run: 'run', in: 'C=cifar10:few', out: [`Drawn=folder:${resolve('test/fixtures/images')}`] },
    ...{ arch: 'cifar-resnet20', width: 4, seeds: [1, 2], threads: 2 },
    ...{ train: { epochs: 1, batchSize: 32 }, evaluate: { detectors: ['msp', { knn: { k: 5 } }], storage: 'float16' } },
  };
  writeCifar(at('few'), 64, 48);
  writeFileSync(at('experiment.yaml'), JSON.stringify(experiment));
  const result = cli('run', 'experiment.yaml', '--json');
  assert.equal(result.status, 0, result.stderr);
});

describe('extract', () => {
  it('makes what is missing, tells where it is, and makes nothing twice', () => {
    const args = extractTo('made', '--out', 'Few=cifar10:few?split=train', '--to', 'people');
    const { features, files }: { features: string; files: ExtractedFile[] } = json(...args);
    assert.equal(features, 'made');
    assert.deepEqual(
      files.map(({ set, part, member, pass, rows, isNew, link }) => [set, part, member, pass, rows, isNew, link]),
      [
        ['C', 'test', '1', 'plain', 48, true, 'people/C/1/plain.safetensors'],
        ['C', 'test', '2', 'plain', 48, true, 'people/C/2/plain.safetensors'],
        ['Few', 'out', '1', 'plain', 64, true, 'people/Few/1/plain.safetensors'],
        ['Few', 'out', '2', 'plain', 64, true, 'people/Few/2/plain.safetensors'],
      ],
    );
    const tensors = { logits: [48, 10], stage1: [48, 4], stage2: [48, 4], stage3: [48, 8], stage4: [48, 16] };
    const [first] = files as [ExtractedFile];
    assert.deepEqual(Object.fromEntries(Object.entries(first.tensors).map(([name, { shape }]) => [name, shape])), {
      labels: [48],
      predictions: [48],
      ...tensors,
    });
    for (const { path, link = '', key, bytes } of files) {
      assert.equal(path, `made/${key}.safetensors`);
      const content = readFileSync(at(path));
      assert.equal(content.length, bytes);
      assert.ok(content.equals(readFileSync(at(link))));
      // What a file says of itself is the same wherever it was made.
      assert.ok(!content.includes(folder) && !content.includes('Few') && !content.includes('people'));
    }
    const before = files.map(({ path }) => statSync(at(path)).mtimeMs);
    const table = cli(...args);
    assert.match(table.stdout, /^set +member +pass +rows +size +path\n/);
    assert.match(table.stdout, /\nFew +2 +plain +64 +\d[\d.]* kB +there +people\/Few\/2\/plain\.safetensors\n/);
    assert.match(table.stdout, /\n4 files, [\d.]+ kB: 0 made, 4 there\. Feature store: made\n$/);
    assert.deepEqual(
      files.map(({ path }) => statSync(at(path)).mtimeMs),
      before,
    );
    assert.deepEqual(namesIn('made'), files.map(({ key }) => `${key}.safetensors`).sort());
  });

  it('makes what detectors read, of the training data too', () => {
    const { files }: { files: ExtractedFile[] } = json(
      ...extractTo('read', '--detector', 'knn,msp', '--train', 'cifar10:few'),
    );
    assert.deepEqual(
      files.map(({ set, part, pass, rows }) => [set, part, pass, rows]),
      [
        ['few', 'train', 'plain', 64],
        ['few', 'train', 'plain', 64],
        ['C', 'test', 'plain', 48],
        ['C', 'test', 'plain', 48],
      ],
    );
  });

  it('stores features in float16 where that is asked for: the nearest ones, and logits as they were', async () => {
    const [whole, half] = ['made', 'half'].map((store) =>
      json(...extractTo(store, '--storage', store === 'half' ? 'float16' : 'float32')).files.map(
        ({ path }: ExtractedFile) => at(path),
      ),
    ) as [string[], string[]];
    for (const [index, path] of half.entries()) {
      const [a, b] = await Promise.all([FeatureFile.open(whole[index] as string), FeatureFile.open(path)]);
      assert.notEqual(a.metadata.key, b.metadata.key);
      assert.deepEqual(await b.logits(), await a.logits());
      assert.deepEqual(b.tensors.stage4, { dtype: 'F16', shape: [48, 16] });
      for (const name of a.stages) {
        const [exact, rounded] = await Promise.all([a.tensor(name), b.tensor(name)]);
        for (const [place, value] of exact.entries()) {
          // Half a step of 11 binary digits, or of the smallest float16.
          const bound = Math.max(2 ** -25, 2 ** (Math.floor(Math.log2(Math.abs(value) || 1)) - 11));
          assert.ok(Math.abs((rounded[place] as number) - value) <= bound, `${name} ${place}: ${value}`);
        }
      }
    }
    const ood = json(
      ...extractTo('half', '--storage', 'float16', '--train', 'cifar10:few', '--detector', 'knn').map((argument) =>
        argument === 'extract' ? 'eval-ood' : argument,
      ),
      ...['--out', 'Few=cifar10:few?split=train', '--k', '5'],
    );
    assert.equal(ood.rows.length, 3);
    for (const { auroc } of ood.rows) assert.ok(auroc >= 0 && auroc <= 1);
  });

  it('refuses passes, detectors and names that cannot be', () => {
    fails(cli(...extractTo('made', '--pass', 'plan')), 2, /--pass: unknown pass "plan"; the nearest is "plain"/);
    fails(cli(...extractTo('made', '--detector', 'mps')), 2, /--detector: Unknown detector "mps"/);
    fails(
      cli(...extractTo('made', '--storage', 'float8')),
      2,
      /--storage: expected float32 or float16, found "float8"/,
    );
    fails(
      cli(...extractTo('made', '--train', 'C=cifar10:few', '--out', 'C-train=cifar10:few', '--to', 'both')),
      2,
      /--to: C-train and C would both be both\/C-train\/1\/plain\.safetensors; give one another name/,
    );
  });
});

describe('a feature file that cannot be used', () => {
  const damages: [string, (path: string) => void, RegExp][] = [
    ['is cut', (path) => truncateSync(path, 400), /is not a whole safetensors file: .*\. It is made again\./],
    [
      'carries another key',
      (path) => {
        const bytes = readFileSync(path);
        const key = bytes.indexOf('"key":"') + 7;
        bytes.write('0'.repeat(64), key);
        writeFileSync(path, bytes);
      },
      /warning: .* holds other features: its key is 0{64}\. It is made again\./,
    ],
  ];
  for (const [what, damage, message] of damages) {
    it(`is made again, and said, where it ${what}`, () => {
      const { files }: { files: ExtractedFile[] } = json(...extractTo('made'));
      const path = at(files[1]?.path ?? '');
      const whole = readFileSync(path);
      damage(path);
      assert.ok(!readFileSync(path).equals(whole));
      const again = cli(...extractTo('made', '--json'));
      assert.equal(again.status, 0, again.stderr);
      assert.match(again.stderr, message);
      assert.deepEqual(
        JSON.parse(again.stdout).files.map(({ isNew }: ExtractedFile) => isNew),
        [false, true],
      );
      assert.ok(readFileSync(path).equals(whole));
    });
  }
});

describe('several processes', () => {
  const args = (store: string) => extractTo(store, '--out', 'Many=cifar10:cifar?split=train', '--json');

  it('that make the same features at once both end well and leave one whole file each', async () => {
    const both = await Promise.all([start(...args('shared')).ended, start(...args('shared')).ended]);
    for (const { status, stderr } of both) assert.equal(status, 0, stderr);
    const [one, other] = both.map(({ stdout }) => JSON.parse(stdout).files) as [ExtractedFile[], ExtractedFile[]];
    assert.deepEqual(
      one.map(({ key, rows }) => [key, rows]),
      other.map(({ key, rows }) => [key, rows]),
    );
    assert.ok(one.every(({ isNew }, index) => isNew || other[index]?.isNew));
    assert.deepEqual(namesIn('shared'), one.map(({ key }) => `${key}.safetensors`).sort());
    const verdict = cli('features', 'verify', '--features', 'shared');
    assert.equal(verdict.status, 0, verdict.stdout);
    assert.match(verdict.stdout, /^4 files, .*, in shared: nothing is bad\.\n$/);
    // The same as one process alone makes.
    for (const { path } of json(...args('alone').slice(0, -1)).files as ExtractedFile[]) {
      assert.ok(readFileSync(at(path)).equals(readFileSync(at(path.replace('alone', 'shared')))));
    }
  });

  it('of which one is killed leave no damage, and what it left is swept a day later', async () => {
    const { child, ended } = start(...args('killed'));
    const isWriting = () => existsSync(at('killed')) && namesIn('killed').some((name) => name.includes('.tmp-'));
    while (!isWriting()) {
      assert.equal(child.exitCode, null, 'it ended before it could be killed');
      await new Promise((done) => setTimeout(done, 1));
    }
    child.kill('SIGKILL');
    assert.equal((await ended).status, 'SIGKILL');
    const left = namesIn('killed').filter((name) => name.includes('.tmp-'));
    assert.ok(left.length > 0, 'it was killed between two files');
    const states = () =>
      Object.fromEntries(
        json('features', 'ls', '--features', 'killed').files.map(({ name, state }: Record<string, string>) => [
          name,
          state,
        ]),
      );
    for (const [name, state] of Object.entries(states())) {
      assert.equal(state, name.includes('.tmp-') ? 'writing' : 'whole', name);
    }
    // They may be being written, for all that others know.
    assert.match(
      cli('features', 'rm', '--all', '--dry-run', '--features', 'killed').stdout,
      /may be being written and stay/,
    );
    const again = json(...args('killed').slice(0, -1));
    assert.equal(again.files.length, 4);
    assert.deepEqual(
      namesIn('killed').filter((name) => name.includes('.tmp-')),
      left,
    );
    assert.equal(cli('features', 'verify', '--features', 'killed').status, 0);
    const yesterday = Date.now() / 1000 - 90_000;
    for (const name of left) utimesSync(join(at('killed'), name), yesterday, yesterday);
    for (const name of left) assert.equal(states()[name], 'leftover');
    assert.ok(json(...args('killed').slice(0, -1)).files.every(({ isNew }: ExtractedFile) => !isNew));
    assert.equal(namesIn('killed').length, 4);
  });
});

describe('features', () => {
  it('ls names the modes and sets of a run', () => {
    const { stdout, status } = cli('features', 'ls', '--run', 'run');
    assert.equal(status, 0);
    const rows = stdout.split('\n').map((line) => line.split(/ {2,}/));
    assert.deepEqual(rows[0]?.slice(0, 9), [
      ...['key', 'arch', 'member', 'data', 'pass', 'storage', 'rows', 'size', 'age'],
    ]);
    const images = rows[3]?.[6];
    assert.deepEqual(
      rows.slice(1, 7).map((row) => row.slice(1, 7)),
      ['1', '2'].flatMap((seed) =>
        [['C (test)', '48'] as const, ['C (train)', '64'] as const, ['Drawn', images] as const].map(([set, count]) => [
          ...['cifar-resnet20-w4', seed, set, 'plain', 'float16', count],
        ]),
      ),
    );
    assert.match(stdout, /\n6 files, [\d.]+ kB, in run\/features: 6 whole\.\n$/);
    assert.match(cli('features', 'rm', '--unused', '--run', 'run').stdout, /^0 files, 0 bytes, removed\.\n$/);
  });

  it('verify lists what is bad, and exits 1', () => {
    const { files }: { files: ExtractedFile[] } = json(...extractTo('bad'));
    const path = at(files[0]?.path ?? '');
    const bytes = readFileSync(path);
    // The header's tensors begin with labels and predictions, [48] each, then the logits.
    const begin = 8 + Number(bytes.readBigUInt64LE(0)) + 2 * 48 * 8;
    bytes.writeFloatLE(Number.NaN, begin + 4 * (10 * 7 + 3));
    writeFileSync(path, bytes);
    const result = cli('features', 'verify', '--features', 'bad');
    assert.equal(result.status, 1);
    assert.match(
      result.stdout,
      /^bad\/[0-9a-f]{64}\.safetensors: tensor "logits", row 7: expected finite numbers, found NaN\.\n2 files, [\d.]+ kB, in bad: 1 bad\.\n$/,
    );
    const { files: verdicts } = JSON.parse(cli('features', 'verify', '--features', 'bad', '--json').stdout);
    assert.deepEqual(
      verdicts.map(({ key, isGood, faults }: { key: string; isGood: boolean; faults: string[] }) => [
        key,
        isGood,
        faults.length,
      ]),
      files
        .map(({ key }, index) => [key, index !== 0, index === 0 ? 1 : 0] as const)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    );
    const other = files[1]?.key.slice(0, 12) ?? '';
    assert.equal(cli('features', 'verify', other, '--features', 'bad').status, 0);
  });

  it('rm removes by key, and nothing in other folders', () => {
    const { files }: { files: ExtractedFile[] } = json(...extractTo('removed'));
    const key = files[0]?.key ?? '';
    const rm = (...args: string[]) => cli('features', 'rm', ...args);
    assert.match(
      rm(key.slice(0, 10), '--dry-run', '--features', 'removed').stdout,
      /\n1 file, [\d.]+ kB, would be removed\.\n$/,
    );
    assert.equal(namesIn('removed').length, 2);
    assert.match(rm(key.slice(0, 10), '--features', 'removed').stdout, /\n1 file, [\d.]+ kB, removed\.\n$/);
    assert.deepEqual(namesIn('removed'), [`${files[1]?.key}.safetensors`]);
    fails(rm('--features', 'removed'), 2, /expected keys, --stale, --unused, --older-than or --all, found nothing/);
    fails(rm('--all', '--stale', '--features', 'removed'), 2, /expected one of keys, --stale, --unused and --all/);
    fails(rm('--all', '--features', 'cifar'), 2, /cifar: expected a folder of feature files, .* found 2 files/);
    fails(rm('--unused', '--features', 'removed'), 2, /--unused: expected the feature store of a run/);
    fails(rm('--older-than', 'soon', '--features', 'removed'), 2, /--older-than: expected an age such as/);
    fails(rm('ffff', '--features', 'removed', '--run', 'run'), 2, /expected either --run or --features, found both/);
    fails(cli('features', 'ls', '--features', 'nowhere'), 1, /nowhere cannot be read: there is no such file or folder/);
  });
});
