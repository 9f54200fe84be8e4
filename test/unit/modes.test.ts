import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ModeEnsembleError } from '../../lib/config/errors.js';
import { trainSchema } from '../../lib/config/schema.js';
import { openData } from '../../lib/data/open.js';
import { resolveArch } from '../../lib/modes/arch.js';
import { openCheckpoints } from '../../lib/modes/checkpoints.js';
import { findModes, modeFolder, readCheckpoint, weightsHash } from '../../lib/modes/find.js';
import { trainMode } from '../../lib/modes/train.js';
import { FAKE_TRANSFORM, fakeAddon, sha256, writeSafetensors } from './run-addon.js';

const root = mkdtempSync(join(tmpdir(), 'modes-'));
after(() => rmSync(root, { recursive: true }));
let runs = 0;

async function setUp(seed = 7) {
  const addon = fakeAddon();
  const arch = resolveArch('R18', 16, { architectures: addon });
  const train = await openData('builtin:shapes?split=train', { addon });
  const testSet = await openData('builtin:shapes?split=test', { addon });
  const run = join(root, `run-${runs++}`);
  const folder = modeFolder(run, arch.id, seed);
  const settings = trainSchema.parse({ epochs: 2 });
  const options = { arch, seed, train, test: testSet, settings, threads: 2, workers: 1, folder, addon };
  return { addon, arch, run, folder, options };
}

const lines = (folder: string) => readFileSync(join(folder, 'log.jsonl'), 'utf8').trimEnd().split('\n');

test('a mode is trained once, with a log line an epoch, and found again', async () => {
  const { addon, run, folder, options } = await setUp();
  const first = await trainMode(options);
  const checkpoint = join(run, 'modes', 'cifar-resnet18-w16', 'seed-7', 'checkpoint.safetensors');
  assert.deepEqual(first, {
    seed: 7,
    checkpoint,
    isNew: true,
    result: { loss: 0.5, accuracy: 50, top5: 90, testLoss: 1, seconds: 2, imagesPerSecond: 60 },
  });
  assert.deepEqual(
    lines(folder).map((line) => JSON.parse(line).epoch),
    [1, 2],
  );
  assert.equal(existsSync(join(folder, 'log.jsonl.tmp')), false);
  assert.deepEqual(await trainMode(options), { seed: 7, checkpoint, isNew: false });
  assert.equal(addon.trained.length, 1);
  assert.deepEqual(
    (await findModes(run, 'cifar-resnet18-w16')).map(({ seed, metadata }) => [seed, metadata?.classes]),
    [[7, ['circle', 'square', 'star']]],
  );
  assert.equal(await weightsHash(checkpoint), sha256(readFileSync(checkpoint)));
});

test('native code gets every setting under its own name', async () => {
  const { addon, options } = await setUp();
  await trainMode(options);
  const { train, test: testHandle, checkpoint, metadata, ...plain } = addon.trained[0] ?? assert.fail('not trained');
  assert.deepEqual(plain, {
    arch: { name: 'cifar-resnet18', width: 16, classes: 3, dropout: 0 },
    seed: 7,
    transform: FAKE_TRANSFORM,
    augment: {
      crop: 'padded',
      cropPadding: 4,
      scale: [0.08, 1],
      ratio: [3 / 4, 4 / 3],
      flip: true,
      randAugment: 0,
      randAugmentOps: 2,
      randAugmentNoise: 0.5,
      erasing: 0,
    },
    decode: 'exact',
    keepDecoded: 2 ** 30,
    epochs: 2,
    batchSize: 256,
    optimizer: {
      name: 'sgd',
      weightDecay: 1e-4,
      decayOn: 'all',
      momentum: 0.9,
      nesterov: false,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
    },
    schedule: {
      name: 'cosine',
      learningRate: 0.1,
      warmupEpochs: 0,
      warmupRate: 0,
      minRate: 0,
      cooldownEpochs: 0,
      stepEpochs: 30,
      stepFactor: 0.1,
    },
    objective: { labelSmoothing: 0, mixup: 0, cutmix: 0, mixProbability: 1, switchProbability: 0.5 },
    dropPath: 0,
    ema: 0,
    saving: { saveEpochs: 0, stateSteps: 0, stateMinutes: 10, keepStates: 1, folder: options.folder },
    ranks: null,
    evaluate: false,
    resume: '',
    reportSteps: 50,
    precision: 'float32',
    device: 'cpu',
    threads: 2,
    workers: 1,
  });
  assert.deepEqual(Object.keys(metadata).sort(), [
    'arch',
    'classes',
    'format',
    'preprocessing',
    'seed',
    'settings',
    'settingsHash',
    'version',
    'width',
  ]);
  assert.ok(train !== testHandle && checkpoint.endsWith('checkpoint.safetensors'));
});

test('two trainings of the same mode tell the same metadata, wherever they lie', async () => {
  const [a, b] = [await setUp(), await setUp()];
  await trainMode(a.options);
  await trainMode(b.options);
  assert.deepEqual(a.addon.trained[0]?.metadata, b.addon.trained[0]?.metadata);
});

test('a mode with other settings is neither used nor overwritten', async () => {
  const { addon, folder, options } = await setUp();
  const { checkpoint } = await trainMode(options);
  const before = readFileSync(checkpoint);
  const advice = 'set it back, use another run folder, or remove this file';
  const refused = (change: object, what: string) =>
    assert.rejects(trainMode({ ...options, ...change }), {
      code: 'E_CONFIG',
      message: `${checkpoint}: was trained with ${what} is asked for now; ${advice}`,
    });
  await refused({ settings: { ...options.settings, epochs: 3 } }, 'train.epochs 2, but 3');
  await refused({ settings: { ...options.settings, flip: false } }, 'train.flip true, but false');
  await refused({ seed: 8 }, 'seed 7, but 8');
  assert.equal((await trainMode({ ...options, threads: 4, workers: 3 })).isNew, false);
  assert.equal(addon.trained.length, 1);
  assert.deepEqual(readFileSync(checkpoint), before);
  assert.equal(lines(folder).length, 2);
});

test('a damaged or foreign checkpoint is named and left alone', async () => {
  const { addon, folder, options } = await setUp();
  const file = join(folder, 'checkpoint.safetensors');
  writeSafetensors(file, { w: { dtype: 'F32', shape: [1] } }, { format: 'pt' });
  await assert.rejects(trainMode(options), {
    code: 'E_CONFIG',
    message: `${file}: expected a mode of this run, found a checkpoint of another program; set it back, use another run folder, or remove this file`,
  });
  writeFileSync(file, 'short');
  await assert.rejects(trainMode(options), (error) => {
    assert.ok(error instanceof ModeEnsembleError && error.message.includes(file));
    return error.code === 'E_CHECKPOINT';
  });
  assert.equal(readFileSync(file, 'utf8'), 'short');
  assert.equal(addon.trained.length, 0);
});

test('a log that cannot be written stops the training with its own sentence', async () => {
  const { folder, options } = await setUp();
  mkdirSync(join(folder, 'log.jsonl', 'in-the-way'), { recursive: true });
  await assert.rejects(trainMode(options), { code: 'E_IO' });
});

test('train and test data of other classes are refused', async () => {
  const { addon, options } = await setUp();
  addon.classes = ['circle', 'cube', 'star'];
  const train = await openData('builtin:shapes?split=train', { addon });
  await assert.rejects(trainMode({ ...options, train }), {
    code: 'E_DATA',
    message:
      'shapes: class 1 is "cube" in the training data and "square" in the test data; expected the same classes in both',
  });
});

test('checkpoints are named by their seeds, or by folder where seeds do not tell them apart', async () => {
  const [a, b, same] = [await setUp(7), await setUp(8), await setUp(7)];
  const files: string[] = [];
  for (const { options } of [a, b, same]) files.push((await trainMode(options)).checkpoint);
  const [first, second, third] = files as [string, string, string];
  const open = (...paths: string[]) => openCheckpoints(paths, { addon: a.addon });
  const pair = await open(first, second);
  assert.deepEqual(
    [pair.members.map(({ arch }) => arch.id), pair.classes, pair.members.map(({ name }) => name)],
    [Array(2).fill('cifar-resnet18-w16'), ['circle', 'square', 'star'], ['7', '8']],
  );
  await assert.rejects(open(first, first), { code: 'E_CONFIG', message: `checkpoint ${first} is given twice` });
  const names = (await open(first, third)).members.map(({ name }) => name);
  assert.equal(new Set(names).size, 2);
  assert.ok(names.every((name) => name.endsWith('seed-7-checkpoint.safetensors')));
  const bare = ['one', 'two+three'].map((name) => join(root, `${name}.safetensors`));
  for (const file of bare) writeSafetensors(file, { w: { dtype: 'F32', shape: [1] } }, {});
  assert.equal(await readCheckpoint(bare[0] as string), undefined);
  await assert.rejects(open(...bare), {
    message: `${bare[0]}: does not say its architecture, and its weights fit none that is listed; name it with --arch (and --width)`,
  });
  const named = await openCheckpoints(bare, { arch: 'R18', addon: a.addon });
  assert.deepEqual(
    named.members.map(({ arch, name }) => [arch.id, name]),
    [
      ['cifar-resnet18', 'one'],
      ['cifar-resnet18', 'two_three'],
    ],
  );
  await assert.rejects(openCheckpoints([first], { arch: 'R18', addon: a.addon }), {
    code: 'E_CHECKPOINT',
    message: `${first}: expected a cifar-resnet18, found a cifar-resnet18-w16`,
  });
});
