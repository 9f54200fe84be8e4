import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { canonicalHash, canonicalJson, firstDifference } from '../../lib/config/canonical.js';
import { ModeEnsembleError } from '../../lib/config/errors.js';
import { loadExperiment, parseExperiment } from '../../lib/config/load.js';
import { editDistance, nearest, suggestion } from '../../lib/config/suggest.js';
import { CONVENTION_NAMES, DEFAULT_INTERVALS } from '../../lib/metrics/index.js';

const LEAST = 'in: builtin:shapes\nout: [builtin:blends]\narch: R18\nseeds: [1, 2]\n';

/** The sentence that an experiment file of this content gives. */
function fault(text: string): string {
  try {
    parseExperiment(text, 'x.yaml');
  } catch (error) {
    assert.ok(error instanceof ModeEnsembleError);
    assert.equal(error.code, 'E_CONFIG');
    return error.message;
  }
  throw new assert.AssertionError({ message: `no error for:\n${text}` });
}

test('the least experiment is completed with the recipe of the paper', () => {
  assert.deepEqual(parseExperiment(LEAST, 'experiments/least.yaml'), {
    name: 'least',
    run: 'runs/least',
    root: '.',
    in: 'builtin:shapes',
    out: ['builtin:blends'],
    arch: 'R18',
    seeds: [1, 2],
    train: {
      recipe: 'cifar10',
      epochs: 150,
      batchSize: 256,
      optimizer: 'sgd',
      learningRate: 0.1,
      weightDecay: 1e-4,
      decayOn: 'all',
      momentum: 0.9,
      nesterov: false,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      schedule: 'cosine',
      warmupEpochs: 0,
      warmupRate: 0,
      minRate: 0,
      cooldownEpochs: 0,
      stepEpochs: 30,
      stepFactor: 0.1,
      labelSmoothing: 0,
      mixup: 0,
      cutmix: 0,
      mixProbability: 1,
      switchProbability: 0.5,
      dropPath: 0,
      ema: 0,
      randomCrop: 'padded',
      cropPadding: 4,
      cropScale: [0.08, 1],
      cropRatio: [3 / 4, 4 / 3],
      flip: true,
      randAugment: 0,
      randAugmentOps: 2,
      randAugmentNoise: 0.5,
      erasing: 0,
      decode: 'exact',
      precision: 'float32',
      reportSteps: 50,
      saveEpochs: 0,
      stateSteps: 0,
      stateMinutes: 10,
      keepStates: 1,
    },
    evaluate: {
      batchSize: 256,
      precision: 'float32',
      storage: 'float32',
      detectors: ['msp', 'energy', 'knn'],
      ensembles: 'all',
      convention: 'reference',
      fusion: 'paper',
    },
    skipBadImages: false,
    device: 'auto',
    threads: availableParallelism(),
    workers: 2,
    modesAtOnce: 16,
    searchMemory: 1536,
  });
});

test("the recipe imagenet is the paper's, and single settings override it", () => {
  const text = `${LEAST}train: { recipe: imagenet, batchSize: 800 }\n`;
  const { epochs, batchSize, schedule, stepEpochs, stepFactor, learningRate, weightDecay, randomCrop } =
    parseExperiment(text, 'imagenet.yaml').train;
  assert.deepEqual(
    { epochs, batchSize, schedule, stepEpochs, stepFactor, learningRate, weightDecay, randomCrop },
    {
      epochs: 90,
      batchSize: 800,
      schedule: 'step',
      stepEpochs: 30,
      stepFactor: 0.1,
      learningRate: 0.1,
      weightDecay: 1e-4,
      randomCrop: 'resized',
    },
  );
});

test('a completed experiment is an experiment', () => {
  const once = parseExperiment(LEAST, 'least.yaml');
  assert.deepEqual(parseExperiment(JSON.stringify(once), 'other.yaml'), once);
});

test('the files in experiments/ are valid', () => {
  const builtin = loadExperiment('experiments/builtin.yaml');
  assert.deepEqual([builtin.run, builtin.width, builtin.seeds], ['runs/builtin', 16, [1000, 1100, 1200]]);
  assert.deepEqual(builtin.out, ['builtin:blends', 'builtin:unseen', 'builtin:textures', 'builtin:strokes']);
  const cifar = loadExperiment('experiments/cifar10-small.yaml');
  assert.deepEqual([cifar.root, cifar.width, cifar.train.epochs, cifar.out?.length], ['data', 32, 12, 5]);
});

test('a suite stands in place of in, and of out', () => {
  const rest = 'arch: R18\nseeds: [1]\n';
  const suite = parseExperiment(`suite: cifar10\nroot: elsewhere\n${rest}`, 'x.yaml');
  assert.deepEqual([suite.suite, suite.root, suite.in, suite.out], ['cifar10', 'elsewhere', undefined, undefined]);
  const further = parseExperiment(`suite: cifar10\nout: [builtin:blends]\n${rest}`, 'x.yaml');
  assert.deepEqual(further.out, ['builtin:blends']);
  assert.equal(
    fault(`suite: cifar10\nin: builtin:shapes\n${rest}`),
    'x.yaml: suite: expected either suite or in, found both',
  );
  assert.match(fault(`out: [builtin:blends]\n${rest}`), /^x\.yaml: in: expected a data set .*, found nothing$/);
  assert.match(fault(`in: builtin:shapes\n${rest}`), /^x\.yaml: out: expected a list .*, found nothing$/);
});

test('intervals are a number of resamples, or that and more, and are complete either way', () => {
  const intervals = (text: string) =>
    parseExperiment(`${LEAST}evaluate: {intervals: ${text}}`, 'x.yaml').evaluate.intervals;
  assert.deepEqual(intervals('500'), { ...DEFAULT_INTERVALS, resamples: 500 });
  assert.deepEqual(intervals('{}'), DEFAULT_INTERVALS);
  assert.deepEqual(intervals('{level: 0.9, seed: 7}'), { resamples: 1000, level: 0.9, seed: 7 });
  for (const name of CONVENTION_NAMES) {
    assert.equal(parseExperiment(`${LEAST}evaluate: {convention: ${name}}`, 'x.yaml').evaluate.convention, name);
  }
});

const FAULTS: readonly [what: string, text: string, sentence: string][] = [
  [
    'a word for a number',
    `${LEAST}train: {epochs: ten}`,
    'x.yaml: train.epochs: expected a whole number of at least 1, found "ten"',
  ],
  [
    'a fraction',
    `${LEAST}train: {epochs: 1.5}`,
    'x.yaml: train.epochs: expected a whole number of at least 1, found 1.5',
  ],
  ['zero', `${LEAST}train: {epochs: 0}`, 'x.yaml: train.epochs: expected a whole number of at least 1, found 0'],
  [
    'not a number',
    `${LEAST}train: {learningRate: .nan}`,
    'x.yaml: train.learningRate: expected a number above 0, found NaN',
  ],
  [
    'an infinite number',
    `${LEAST}train: {weightDecay: .inf}`,
    'x.yaml: train.weightDecay: expected a number of at least 0, found Infinity',
  ],
  [
    'a momentum of one',
    `${LEAST}train: {momentum: 1}`,
    'x.yaml: train.momentum: expected a number from 0 to below 1, found 1',
  ],
  ['an unknown key', `${LEAST}sedes: [1]`, 'x.yaml: sedes: unknown key; the nearest is "seeds"'],
  ['an unknown key inside', `${LEAST}train: {epoch: 3}`, 'x.yaml: train.epoch: unknown key; the nearest is "epochs"'],
  [
    'an unknown key like no other',
    `${LEAST}evaluate: {xyzxyz: 3}`,
    'x.yaml: evaluate.xyzxyz: unknown key; known are batchSize, precision, storage, detectors, ensembles, convention, intervals, fusion',
  ],
  [
    'a mistyped key whose right form is required',
    LEAST.replace('out:', 'outs:'),
    'x.yaml: outs: unknown key; the nearest is "out"',
  ],
  [
    'a missing key',
    'out: [a:b]\narch: R18\nseeds: [1]',
    'x.yaml: in: expected a data set such as cifar10:DIR, folder:DIR or builtin:shapes, found nothing',
  ],
  [
    'no OoD set',
    LEAST.replace('[builtin:blends]', '[]'),
    'x.yaml: out: expected a list of at least one OoD data set such as SVHN=folder:DIR, found an empty list',
  ],
  [
    'an unknown convention',
    `${LEAST}evaluate: {convention: openod}`,
    'x.yaml: evaluate.convention: expected reference, knn or openood, found "openod"',
  ],
  [
    'too few resamples',
    `${LEAST}evaluate: {intervals: 3}`,
    'x.yaml: evaluate.intervals: expected a number of resamples from 10 to 100000, found 3',
  ],
  [
    'a word for intervals',
    `${LEAST}evaluate: {intervals: many}`,
    'x.yaml: evaluate.intervals: expected a number of resamples such as 1000, or {resamples: N, level: 0.95, seed: N}, found "many"',
  ],
  ['a seed twice', LEAST.replace('[1, 2]', '[7, 8, 7]'), 'x.yaml: seeds: seed 7 is given twice'],
  [
    'no seed',
    LEAST.replace('[1, 2]', '[]'),
    'x.yaml: seeds: expected a list of at least one seed, found an empty list',
  ],
  [
    'a seed that is too large',
    LEAST.replace('[1, 2]', '[4294967296]'),
    'x.yaml: seeds[0]: expected a whole number from 0 to 4294967295, found 4294967296',
  ],
  [
    'an unknown precision',
    `${LEAST}train: {precision: float16}`,
    'x.yaml: train.precision: expected float32, tf32 or bfloat16, found "float16"',
  ],
  [
    'a word for a switch',
    `${LEAST}skipBadImages: maybe`,
    'x.yaml: skipBadImages: expected true or false, found "maybe"',
  ],
  [
    'an ensemble of one',
    `${LEAST}evaluate: {ensembles: [[1]]}`,
    'x.yaml: evaluate.ensembles[0]: expected a list of at least 2 seeds, found [1]',
  ],
  [
    'a mistyped ensemble',
    `${LEAST}evaluate: {ensembles: al}`,
    'x.yaml: evaluate.ensembles: expected all, {size: N}, {size: all}, or lists of seeds such as [[1000, 1100], [1000, 1200]], found "al"',
  ],
  [
    'a detector that is a number',
    `${LEAST}evaluate: {detectors: [3]}`,
    'x.yaml: evaluate.detectors[0]: expected the name of a detector, or its name with parameters such as {knn: {k: 50}}, found 3',
  ],
  [
    'a fusion that is none',
    `${LEAST}evaluate: {fusion: mean}`,
    'x.yaml: evaluate.fusion: expected paper, scores, standardised or softmax, found "mean"',
  ],
  ['an empty file', '', 'x.yaml: expected a mapping of settings, found nothing'],
  ['an empty section', `${LEAST}train:`, 'x.yaml: train: expected a mapping of training settings, found nothing'],
  ['a list', '- a', 'x.yaml: expected a mapping of settings, found ["a"]'],
  ['a key twice', `${LEAST}arch: R18`, 'x.yaml: line 5, column 1: the same key is given twice'],
  [
    'Nesterov without momentum',
    `${LEAST}train: {nesterov: true, momentum: 0}`,
    'x.yaml: train.nesterov: expected a train.momentum above 0 with it, found 0',
  ],
];

for (const [what, text, sentence] of FAULTS) {
  test(`an experiment with ${what} gives one sentence`, () => assert.equal(fault(text), sentence));
}

test('broken YAML is one sentence with line and column', () => {
  assert.match(fault('in: [a\nout: b'), /^x\.yaml: line 2, column 1: not valid YAML: [^\n]+$/);
});

test('a file that is missing, or a folder, is one sentence', () => {
  const folder = mkdtempSync(join(tmpdir(), 'config-'));
  try {
    const missing = join(folder, 'none.yaml');
    assert.throws(() => loadExperiment(missing), {
      code: 'E_IO',
      message: `${missing} cannot be read: there is no such file or folder (ENOENT).`,
    });
    assert.throws(() => loadExperiment(folder), {
      code: 'E_IO',
      message: `${folder} cannot be read: it is a folder (EISDIR).`,
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the nearest name is found by edits, swaps and case, and nothing is suggested where none is near', () => {
  assert.equal(editDistance('epoch', 'epochs'), 1);
  assert.equal(editDistance('sedes', 'seeds'), 1);
  assert.equal(editDistance('kitten', 'sitting'), 3);
  assert.equal(editDistance('', 'abc'), 3);
  assert.equal(nearest('ENERGI', ['msp', 'energy', 'knn']), 'energy');
  assert.equal(nearest('xyz', ['msp', 'energy', 'knn']), undefined);
  assert.equal(suggestion('xyz', ['msp', 'knn']), 'known are msp, knn');
});

test('canonical JSON does not depend on the order of keys', () => {
  assert.equal(canonicalJson({ b: [1, { d: null, c: 'x' }], a: true }), '{"a":true,"b":[1,{"c":"x","d":null}]}');
  assert.equal(canonicalHash({ a: 1, b: 2 }), canonicalHash({ b: 2, a: 1 }));
  assert.equal(canonicalHash({}), '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a');
});

test('the first field that differs is named by its path', () => {
  const a = { seed: 1, train: { epochs: 8, flip: true } };
  assert.equal(firstDifference(a, structuredClone(a)), undefined);
  assert.deepEqual(firstDifference(a, { seed: 1, train: { epochs: 9, flip: true } }), {
    field: 'train.epochs',
    a: 8,
    b: 9,
  });
  assert.deepEqual(firstDifference(a, { seed: 1, train: { epochs: 8 } }), {
    field: 'train.flip',
    a: true,
    b: undefined,
  });
});
