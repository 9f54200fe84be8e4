/** Tuning of the Mahalanobis detector and what evaluation makes of it, with tiny networks on tiny data. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { predictLogistic } from '../../lib/detectors/logistic.js';
import { openSafetensors, readFloat64 } from '../../lib/features/safetensors.js';
import type { LogEvent, OpenDataResult, PerturbedGaussiansOptions } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { evaluateOod, type OodSettings } from '../../lib/run/run-checkpoints.js';
import { type TuneSettings, tuneMahalanobis } from '../../lib/run/tune.js';
import { readTuning } from '../../lib/run/tuning-file.js';
import { writeCifar } from '../helpers/cifar.js';
import { CIFAR_TRANSFORM, extractMember, extractOptions, failure, open, quiet } from '../helpers/native.js';
import { readTensors, type Tensor } from '../helpers/safetensors.js';

const folder = mkdtempSync(join(tmpdir(), 'tune-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const arch = { name: 'cifar-resnet18', width: 4, classes: 10, dropout: 0 };
const checkpointOf = (seed: number) => join(folder, `seed-${seed}.safetensors`);
const cifar = join(folder, 'cifar');

before(async () => {
  writeCifar(cifar, 200, 60);
  for (const seed of [1, 2, 3]) {
    await getAddon().initWeights({ arch, seed, output: checkpointOf(seed), metadata: {} }, quiet).done;
  }
});

const settings = (change: Partial<TuneSettings> = {}): TuneSettings => ({
  checkpoints: [1, 2].map(checkpointOf),
  in: `cifar10:${cifar}`,
  arch: 'R18',
  width: 4,
  features: join(folder, 'features'),
  batchSize: 32,
  device: 'cpu',
  precision: 'float32',
  threads: 2,
  workers: 1,
  ensembles: 'all',
  magnitudes: [0, 0.01],
  ...change,
});

const ood = (change: Partial<OodSettings> = {}): OodSettings => ({
  ...settings(),
  out: [`Drawn=folder:${resolve('test/fixtures/images')}`],
  detectors: ['mahalanobis'],
  ...change,
});

function listening() {
  const told: string[] = [];
  return { told, hooks: { onLog: ({ level, message }: LogEvent) => void told.push(`${level}: ${message}`) } };
}

describe('tune mahalanobis', () => {
  it('chooses for each mode and the ensemble, and evaluation uses what was chosen', async () => {
    const { told, hooks } = listening();
    const { records, files, warnings } = await tuneMahalanobis(settings(), hooks);
    assert.deepEqual(
      records.map(({ members, images, magnitudes }) => [
        members.join('+'),
        images,
        magnitudes.map((fit) => fit.magnitude),
      ]),
      [
        ['seed-1', [30, 30], [0, 0.01]],
        ['seed-2', [30, 30], [0, 0.01]],
        ['seed-1+seed-2', [30, 30], [0, 0.01]],
      ],
    );
    assert.equal(
      told.filter((text) => /expected 1000 test images.*found 60.*halves of 30/.test(text)).length,
      1,
      'told once',
    );
    assert.ok(warnings.some((text) => /takes halves of 30/.test(text)));
    for (const { magnitudes, best } of records) {
      const lowest = Math.min(...magnitudes.map(({ fpr95 }) => fpr95));
      assert.equal(best, magnitudes.find(({ fpr95 }) => fpr95 === lowest)?.magnitude);
      for (const { coefficients } of magnitudes) assert.equal(coefficients.length, 5);
    }
    assert.deepEqual(
      await Promise.all(files.map((file) => readTuning(file))),
      records.map((record) => [record]),
    );

    const second = listening();
    const { evaluation } = await evaluateOod(
      ood({ detectors: ['mahalanobis', { mahalanobis: { magnitude: 0 } }, { mahalanobis: { magnitude: 0.01 } }] }),
      second.hooks,
    );
    assert.deepEqual(
      second.told.filter((text) => text.includes('no parameters tuned')),
      [],
    );
    const labels = ['mahalanobis', 'mahalanobis:magnitude=0', 'mahalanobis:magnitude=0.01'];
    assert.deepEqual([...new Set(evaluation.rows.map(({ detector }) => detector))], labels);
    const scoresOf = (detector: string, members: string) =>
      evaluation.scores.find((set) => set.detector === detector && set.members.join('+') === members);
    for (const { members, best } of records) {
      const name = members.join('+');
      const [tuned, same] = [scoresOf('mahalanobis', name), scoresOf(`mahalanobis:magnitude=${best}`, name)];
      assert.deepEqual(tuned?.in, same?.in);
      assert.deepEqual(tuned?.out, same?.out);
      const other = scoresOf(`mahalanobis:magnitude=${best === 0 ? 0.01 : 0}`, name);
      assert.notDeepEqual(tuned?.in, other?.in);
      for (const score of tuned?.in ?? []) assert.ok(score >= -1 && score <= 0);
    }
  });

  it('gives the numbers that the halves give by hand', async () => {
    const { records } = await tuneMahalanobis(settings());
    const [record] = records;
    const store = readdirSync(join(folder, 'features'));
    const files = store.filter((name) => name.startsWith('mahalanobis-scores-'));
    // Two halves, as they are and as adversarial copies, for three subsets; and what evaluation scored.
    assert.ok(files.length >= 12, files.join());
    // The first 30 images of evaluation at magnitude 0 are the training half, scored by the record's regression.
    const { evaluation } = await evaluateOod(ood({ detectors: [{ mahalanobis: { magnitude: 0 } }] }));
    const fit = record?.magnitudes[0];
    const model = { coefficients: Float64Array.from(fit?.coefficients ?? []), intercept: fit?.intercept as number };
    const scores = evaluation.scores.find(({ members }) => members.join() === 'seed-1')?.in as Float64Array;
    const clean: Float64Array[] = [];
    for (const name of files) {
      const file = await openSafetensors(join(folder, 'features', name));
      const [rows, magnitudes] = file.tensors.get('scores')?.shape ?? [];
      if (rows !== 30 || magnitudes !== 2) continue;
      const all = await readFloat64(file, 'scores');
      clean.push(Float64Array.from({ length: 150 }, (_, i) => all[Math.floor(i / 5) * 10 + (i % 5)] as number));
    }
    const near = (values: Float64Array) =>
      predictLogistic(model, values).every((p, i) => Math.abs(-p - (scores[i] as number)) < 1e-6);
    assert.equal(clean.filter(near).length, 1, 'one of the parts is the training half of this mode');
  });

  it('fits the regression itself for modes that were not tuned, and refuses parameters of others', async () => {
    const { told, hooks } = listening();
    const save = join(folder, 'tuned.json');
    const saved = await tuneMahalanobis(settings({ save, ensembles: [] }));
    assert.deepEqual(saved.files, [save]);
    assert.deepEqual(await readTuning(save), saved.records);
    const untuned = ood({ checkpoints: [1, 3].map(checkpointOf) });
    const { evaluation } = await evaluateOod(untuned, hooks);
    assert.equal(
      told.filter((text) => /^info: mahalanobis: no parameters tuned/.test(text)).length,
      1,
      told.join('\n'),
    );
    assert.equal(evaluation.rows.length, 3);
    const nameField = (field: string) => `--${field}`;
    await assert.rejects(evaluateOod({ ...untuned, tuned: save, nameField }), {
      code: 'E_CONFIG',
      message: `--tuned: ${save} holds parameters tuned for seed-1, seed-2, not for seed-3`,
    });
    await assert.rejects(evaluateOod(ood({ tuned: save, nameField })), {
      code: 'E_CONFIG',
      message: `--tuned: ${save} holds parameters tuned for seed-1, seed-2, not for seed-1+seed-2`,
    });
    await assert.rejects(
      evaluateOod(ood({ tuned: save, nameField, ensembles: [], detectors: [{ mahalanobis: { clamp: 'none' } }] })),
      { message: /were tuned for something else: clamp was "?normalized"? there and is "?none"? here/ },
    );
    const { evaluation: used } = await evaluateOod(ood({ tuned: save, nameField, ensembles: [] }));
    assert.equal(used.rows.length, 2);
  });

  it('makes again what is damaged in the store, and says so', async () => {
    const store = join(folder, 'features');
    const first = await evaluateOod(ood());
    for (const name of readdirSync(store)) {
      if (!/^mahalanobis-/.test(name)) continue;
      const path = join(store, name);
      writeFileSync(path, readFileSync(path).subarray(0, 50));
    }
    const { told, hooks } = listening();
    await tuneMahalanobis(settings(), hooks);
    assert.ok(
      told.some((text) => /mahalanobis-gaussians-.*It is made again\.$/.test(text)),
      told.join('\n'),
    );
    assert.ok(told.some((text) => /mahalanobis-scores-.*It is made again\.$/.test(text)));
    const again = await evaluateOod(ood());
    assert.deepEqual(again.evaluation.rows, first.evaluation.rows);
  });

  it('warns of a singular covariance, and refuses training data that it cannot use', async () => {
    const few = join(folder, 'few');
    writeCifar(few, 20, 60);
    const { told, hooks } = listening();
    await tuneMahalanobis(settings({ train: `cifar10:${few}` }), hooks);
    const singular = told.filter((text) => text.includes('is singular'));
    const rank =
      /^warning: mahalanobis, seed-1: the covariance of stage5 is singular \(rank (\d+) of 32\); its pseudo-inverse is taken$/;
    const found = singular.map((text) => rank.exec(text)).find((match) => match);
    assert.ok(found, singular.join('\n'));
    assert.ok(Number(found[1]) > 0 && Number(found[1]) <= 20);
    const without = join(folder, 'without');
    writeCifar(without, 5, 60);
    await assert.rejects(tuneMahalanobis(settings({ train: `cifar10:${without}` })), {
      code: 'E_DATA',
      message: /class/,
    });
  });

  it('names the image whose features are not finite', async () => {
    const { file, tensors } = readTensors(checkpointOf(1));
    const weight = tensors.get('conv1.weight') as Tensor;
    weight.bytes.writeFloatLE(Number.NaN, 0);
    const broken = join(folder, 'broken.safetensors');
    writeFileSync(broken, file);
    await assert.rejects(tuneMahalanobis(settings({ checkpoints: [broken] })), {
      code: 'E_NUMERIC',
      message: /row 0|image 0/,
    });
  });

  it('stops where it is told to', async () => {
    const controller = new AbortController();
    const onStage = (stage: string) => {
      if (stage.startsWith('tune')) controller.abort();
    };
    await assert.rejects(tuneMahalanobis(settings({ clamp: 'pixels' }), { signal: controller.signal, onStage }), {
      code: 'E_ABORTED',
    });
  });

  it('refuses bad options before anything is opened', async () => {
    const nameField = (field: string) => `--${field}`;
    const refused = (change: Partial<TuneSettings>, message: string) =>
      assert.rejects(tuneMahalanobis(settings({ in: 'cifar10:nowhere', nameField, ...change })), {
        code: 'E_CONFIG',
        message,
      });
    await refused({ magnitudes: [] }, '--magnitudes: expected at least one magnitude, found none');
    await refused({ magnitudes: [0, -1] }, '--magnitudes: expected numbers of at least 0, found -1');
    await refused({ magnitudes: [0, 1, 0] }, '--magnitudes: magnitude 0 is given twice');
    await refused({ clamp: 'all' }, '--clamp: expected pixels or normalized or none, found all.');
    await refused({ step: -1 }, '--step: expected a number at least 0, found -1.');
  });
});

describe('perturbedGaussians', () => {
  let data: OpenDataResult;
  const statistics = join(folder, 'gaussians.safetensors');
  const stages = [1, 2, 3, 4, 5].map((k) => `stage${k}`);
  const options = (change: Partial<PerturbedGaussiansOptions> = {}): PerturbedGaussiansOptions => ({
    members: [1, 2].map((seed) => ({ arch, checkpoint: checkpointOf(seed) })),
    statistics,
    data: data.handle,
    transform: CIFAR_TRANSFORM,
    first: 0,
    count: 0,
    magnitudes: [0],
    adversarial: null,
    batchSize: 16,
    device: 'cpu',
    precision: 'float32',
    threads: 2,
    workers: 1,
    output: join(folder, 'scores.safetensors'),
    metadata: { made: 'test' },
    ...change,
  });
  const scoresOf = async (change: Partial<PerturbedGaussiansOptions> = {}) => {
    const asked = options(change);
    const { count } = await getAddon().perturbedGaussians(asked, quiet).done;
    const file = await openSafetensors(asked.output);
    assert.deepEqual(file.tensors.get('scores')?.shape, [count, asked.magnitudes.length, 5]);
    assert.deepEqual(file.tensors.get('labels')?.shape, [count]);
    assert.equal(file.metadata.made, 'test');
    return readFloat64(file, 'scores');
  };

  before(async () => {
    data = await open({ path: cifar, split: 'test' });
    const train = await open({ path: cifar, split: 'train' });
    const members = [1, 2].map((seed) =>
      extractMember(arch, checkpointOf(seed), join(folder, `train-${seed}.safetensors`)),
    );
    await getAddon().extract({ ...extractOptions(train.handle, '', '', 4), members }, quiet).done;
    const files = members.map(({ outputs }) => outputs[0]?.path as string);
    const fit = { train: files, stages, classes: 10, output: statistics, metadata: {}, threads: 2 };
    await getAddon().fitGaussians(fit, quiet).done;
  });

  it('scores a part of a set as it scores the whole', async () => {
    const whole = await scoresOf();
    const part = await scoresOf({ first: 20, count: 7, batchSize: 3 });
    assert.equal(part.length, 7 * 5);
    for (const [i, value] of part.entries()) {
      const expected = whole[20 * 5 + i] as number;
      assert.ok(Math.abs(value - expected) <= 1e-5 * Math.abs(expected), `${value}, expected ${expected}`);
    }
  });

  it('scores each magnitude as it does alone, and a small step raises the score of its stage', async () => {
    const both = await scoresOf({ count: 8, magnitudes: [0.002, 0, 1e-4] });
    const alone = await scoresOf({ count: 8, magnitudes: [0.002] });
    const plain = await scoresOf({ count: 8 });
    for (let row = 0; row < 8; row++) {
      for (let stage = 0; stage < 5; stage++) {
        const [large, zero, small] = [0, 1, 2].map((m) => both[(row * 3 + m) * 5 + stage] as number);
        assert.equal(large, alone[row * 5 + stage]);
        const expected = plain[row * 5 + stage] as number;
        assert.ok(Math.abs((zero as number) - expected) <= 1e-5 * Math.abs(expected));
        assert.ok((small as number) > (zero as number), `image ${row}, stage ${stage + 1}`);
      }
    }
  });

  it('steps along the sign of the gradient: the first order of the change is the sum of its absolute values', async () => {
    // Twice the step, twice the change, as long as the step is small.
    const [a, b] = [2e-5, 4e-5];
    const scores = await scoresOf({ count: 4, magnitudes: [0, a, b] });
    for (let row = 0; row < 4; row++) {
      for (let stage = 0; stage < 2; stage++) {
        const [zero = 0, one = 0, two = 0] = [0, 1, 2].map((m) => scores[(row * 3 + m) * 5 + stage]);
        assert.ok(
          Math.abs((two - zero) / (one - zero) - 2) < 0.05,
          `image ${row}, stage ${stage + 1}: ${zero} ${one} ${two}`,
        );
      }
    }
  });

  it('leaves nothing of adversarial copies where the step is 0 and nothing is cut, and cuts as it is told', async () => {
    const plain = await scoresOf({ count: 6 });
    const none = await scoresOf({ count: 6, adversarial: { step: 0, clamp: 'none' } });
    const pixels = await scoresOf({ count: 6, adversarial: { step: 0, clamp: 'pixels' } });
    const normalized = await scoresOf({ count: 6, adversarial: { step: 0, clamp: 'normalized' } });
    const apart = (a: Float64Array) => Math.max(...a.map((value, i) => Math.abs(value / (plain[i] as number) - 1)));
    assert.ok(apart(none) < 1e-6);
    assert.ok(apart(pixels) < 1e-4, 'possible pixels stay as they are');
    assert.ok(apart(normalized) > 0.1, 'half of the normalised pixels lie below 0');
  });

  it('refuses what does not fit, in one sentence', async () => {
    const refused = async (change: Partial<PerturbedGaussiansOptions>, code: string, message: RegExp) => {
      const error = await failure(getAddon().perturbedGaussians(options(change), quiet));
      assert.match(error.message, message);
      assert.equal(error.code, code);
    };
    await refused({ first: 50, count: 11 }, 'E_CONFIG', /expected images of the 60 that the set has, found 50 and 11/);
    await refused({ first: 60 }, 'E_CONFIG', /first, count/);
    await refused({ magnitudes: [] }, 'E_CONFIG', /magnitudes: expected at least one/);
    await refused({ magnitudes: [-1] }, 'E_CONFIG', /magnitudes: expected numbers of at least 0/);
    await refused({ members: [] }, 'E_CONFIG', /members: expected at least one/);
    await refused(
      { adversarial: { step: 1, clamp: 'all' as never } },
      'E_CONFIG',
      /adversarial\.clamp: expected pixels, normalized or none, found "all"/,
    );
    await refused({ batchSize: 0 }, 'E_CONFIG', /batchSize/);
    await refused({ statistics: join(folder, 'nowhere') }, 'E_IO', /nowhere/);
    await refused({ statistics: checkpointOf(1) }, 'E_DATA', /expected the statistics of stages/);
    const small = { ...arch, name: 'cifar-resnet20', width: 4 };
    const checkpoint = join(folder, 'small.safetensors');
    await getAddon().initWeights({ arch: small, seed: 1, output: checkpoint, metadata: {} }, quiet).done;
    await refused(
      { members: [{ arch: small, checkpoint }] },
      'E_CONFIG',
      /statistics of 5 stages, but the network has 4/,
    );
    const few = { ...arch, classes: 3 };
    const three = join(folder, 'three.safetensors');
    await getAddon().initWeights({ arch: few, seed: 1, output: three, metadata: {} }, quiet).done;
    const adversarial = { step: 0.05, clamp: 'none' as const };
    await refused(
      { members: [{ arch: few, checkpoint: three }], adversarial },
      'E_DATA',
      /need the images' labels: expected 0 to 2, found [3-9]/,
    );
  });

  it('stops within a batch and leaves no file', async () => {
    const output = join(folder, 'stopped.safetensors');
    const job = getAddon().perturbedGaussians(options({ magnitudes: [0.1, 0.2, 0.3], output }), () => job.abort());
    assert.equal((await failure(job)).code, 'E_ABORTED');
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith('stopped')),
      [],
    );
  });
});
