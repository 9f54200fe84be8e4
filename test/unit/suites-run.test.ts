/** What evaluations and experiments make of a suite. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ModeEnsembleError } from '../../lib/config/errors.js';
import { getSuite } from '../../lib/data/suites.js';
import { DETECTORS, resolveParameters } from '../../lib/detectors/index.js';
import { openCheckpoints } from '../../lib/modes/checkpoints.js';
import type { Addon } from '../../lib/native/contract.js';
import { runExperiment } from '../../lib/run/run.js';
import { evaluateClean, evaluateOod } from '../../lib/run/run-checkpoints.js';
import { CIFAR, suiteFolders } from '../helpers/suites.js';
import { fakeAddon, writeSafetensors } from './run-addon.js';

const { root, fresh } = suiteFolders();
const imagenet = getSuite('imagenet');

const shared = {
  batchSize: 8,
  precision: 'float32' as const,
  threads: 1,
  workers: 1,
  nameField: (field: string) => `--${field}`,
};

/** A fake addon, a checkpoint that says nothing of itself, and where its features go. */
function setUp() {
  const checkpoint = `${fresh('mode')}.safetensors`;
  writeSafetensors(checkpoint, { w: { dtype: 'F32', shape: [2] } }, {});
  const addon = fakeAddon();
  const warnings: string[] = [];
  const onLog = ({ level, message }: { level: string; message: string }) => {
    if (level === 'warning') warnings.push(message);
  };
  const settings = { ...shared, checkpoints: [checkpoint], arch: 'R18', features: fresh('features'), addon };
  return { settings, addon, warnings, hooks: { onLog } };
}

describe('eval-ood with a suite', () => {
  it('takes what is there, says what is missing and what is incomplete, and adds further sets', async () => {
    const { settings, addon, warnings, hooks } = setUp();
    const data = root(...CIFAR, 'LSUN/', 'iSUN/', 'own/places/');
    const out = ['builtin:a', `Places365=folder:${data}/own/places`];
    const { evaluation } = await evaluateOod(
      { ...settings, suite: 'CIFAR-10', data, out, detectors: ['msp'], ensembles: 'all' },
      hooks,
    );
    assert.deepEqual([evaluation.in, evaluation.out], ['CIFAR-10', ['LSUN', 'iSUN', 'a', 'Places365']]);
    const expected = [
      `SVHN is missing and left out: expected ${data}/svhn, found nothing; get test_32x32.mat at http://ufldl.stanford.edu/housenumbers/test_32x32.mat`,
      `Textures is missing and left out: expected ${data}/dtd/images, found nothing; get dtd-r1.0.1.tar.gz at https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz`,
      'CIFAR-10 (test) is incomplete: 20 of 10,000 images; results are for these',
      'LSUN is incomplete: 20 of 10,000 images; results are for these',
      'iSUN is incomplete: 20 of 8,925 images; results are for these',
    ];
    assert.deepEqual(warnings.slice(0, 5), expected);
    assert.deepEqual(evaluation.warnings.slice(0, 5), expected);
    assert.equal(addon.open, 0);
  });

  it('learns from the train part, and leaves out detectors that would where it is missing', async () => {
    const { settings, addon, warnings, hooks } = setUp();
    const data = root(CIFAR[0], 'LSUN/');
    const suite = { ...settings, suite: 'cifar10', data, ensembles: 'all' as const };
    const { evaluation } = await evaluateOod(suite, hooks);
    const found = [...new Set(evaluation.rows.map(({ detector }) => detector))];
    const learning = DETECTORS.filter((one) => one.needs(resolveParameters(one)).fit === 'train').map(
      ({ name }) => name,
    );
    assert.deepEqual(
      found,
      DETECTORS.map(({ name }) => name).filter((name) => !learning.includes(name)),
    );
    assert.ok(learning.includes('knn'));
    const missing = `CIFAR-10 (train) is missing: expected ${data}/cifar-10-batches-bin, found nothing`;
    assert.ok(warnings.some((text) => text.startsWith(`knn is left out: it needs training data, and ${missing}`)));
    await assert.rejects(evaluateOod({ ...suite, detectors: ['knn'] }, hooks), (error: ModeEnsembleError) => {
      assert.ok(error.message.startsWith(`--detectors: knn needs training data, and ${missing}`), error.message);
      return error.code === 'E_DATA';
    });
    assert.equal(addon.open, 0);
  });

  it('refuses what does not go together, in one sentence', async () => {
    const { settings } = setUp();
    const ood = { ...settings, ensembles: 'all' as const };
    const refused = (change: object, code: string, message: string | RegExp) =>
      assert.rejects(evaluateOod({ ...ood, ...change }), { code, message });
    const [data, nowhere] = [root(...CIFAR), fresh('none')];
    const both = '--suite: expected either --suite or --in, found both';
    await refused({ suite: 'cifar10', in: 'builtin:shapes', data }, 'E_CONFIG', both);
    await refused({}, 'E_CONFIG', '--in: expected a data set, or --suite, found neither');
    const none = '--out: expected an OoD data set, or --suite, found neither';
    await refused({ in: 'builtin:shapes' }, 'E_CONFIG', none);
    await refused({ suite: 'cifar1O', data }, 'E_CONFIG', '--suite: unknown suite "cifar1O"; the nearest is "cifar10"');
    await refused(
      { suite: 'cifar10', data: nowhere },
      'E_CONFIG',
      `--data: expected the folder that holds the data sets, found no folder ${nowhere}`,
    );
    await refused(
      { suite: 'cifar10', data },
      'E_DATA',
      /^--suite: no OoD set of cifar10 is in .*: expected SVHN as .*svhn, LSUN as /,
    );
    await refused(
      { suite: 'imagenet', data },
      'E_DATA',
      `--suite: ImageNet-1K (test) is not in ${data}: looked for imagenet, ImageNet, imagenet-1k, ImageNet-1K, ILSVRC2012, ILSVRC-2012, ILSVRC, that folder itself; get ILSVRC2012_img_val.tar at https://image-net.org/challenges/LSVRC/2012/`,
    );
    const there = root(...CIFAR, 'LSUN/');
    await refused(
      { suite: 'cifar10', data: there, out: ['lsun=builtin:a'] },
      'E_CONFIG',
      '--out: the name "lsun" already belongs to --suite; give one of them another, for instance lsun-2=builtin:a',
    );
  });
});

describe('preprocessing with a suite', () => {
  const data = root(...CIFAR);

  it("is the architecture's, and a network for another size is refused unless a size is asked for", async () => {
    const { settings, addon } = setUp();
    const large = { resize: 256, fit: 'short' as const, crop: 224 };
    const found = addon.findArchitecture('R18');
    addon.findArchitecture = () => found && { ...found, transform: { ...found.transform, ...large } };
    const clean = { ...settings, suite: 'cifar10', data };
    await assert.rejects(evaluateClean(clean), {
      code: 'E_CONFIG',
      message:
        '--suite: expected a network for images of 32 pixels, as cifar10 has them, found cifar-resnet18, which reads 224 pixels; --crop asks for a size',
    });
    await evaluateClean({ ...clean, transform: { crop: 200 } });
    assert.equal(addon.extracted.at(-1)?.transform.crop, 200);
    // What the architecture says counts, not what the suite would take.
    assert.deepEqual(addon.extracted.at(-1)?.transform.mean, [0.5, 0.5, 0.5]);
  });

  it('is the suite’s for networks that say none, with what is asked for', async () => {
    const { settings } = setUp();
    const probed: number[] = [];
    const addon = {
      ...settings.addon,
      probe: ({ size }: { size: number }) => {
        probed.push(size);
        return { done: Promise.resolve({ classes: 10, penultimate: 0, stages: 0, seconds: 0 }), abort() {} };
      },
    } as unknown as Addon;
    const scripts = [`${fresh('net')}.pt`];
    writeSafetensors(scripts[0] as string, { w: { dtype: 'F32', shape: [2] } }, {});
    const open = async (change: object) => {
      const { members } = await openCheckpoints(scripts, { arch: 'script', addon, ...change });
      return members[0]?.transform;
    };
    const fallback = imagenet.transform;
    assert.deepEqual(await open({ fallback }), imagenet.transform);
    assert.deepEqual(await open({ fallback, transform: { crop: 192 } }), { ...fallback, crop: 192 });
    assert.equal((await open({ fallback, preprocessing: 'R18' }))?.crop, 32);
    assert.deepEqual(probed, [224, 192, 32]);
    await assert.rejects(open({}), { code: 'E_CONFIG' });
  });
});

describe('an experiment with a suite', () => {
  const experiment = (path: string) => ({
    ...{ suite: 'cifar10', root: path, arch: 'R18', width: 16, seeds: [1], threads: 1, train: { epochs: 1 } },
    evaluate: { detectors: ['msp'] },
    run: fresh('run'),
  });

  it('trains on its train part and is measured on what is there', async () => {
    const { addon, warnings, hooks } = setUp();
    const path = root(...CIFAR, 'svhn/test_32x32.mat', 'Textures/');
    const { evaluation } = await runExperiment({ ...experiment(path), out: ['a=builtin:a'] }, { ...hooks, addon });
    assert.deepEqual([evaluation.in, evaluation.out], ['CIFAR-10', ['SVHN', 'Textures', 'a']]);
    assert.ok(warnings.includes('CIFAR-10 (train) is incomplete: 60 of 50,000 images; results are for these'));
    assert.ok(warnings.some((text) => text.startsWith('LSUN is missing and left out')));
    assert.equal(addon.open, 0);
  });

  it('is refused without its train part', async () => {
    const { addon } = setUp();
    const path = root(CIFAR[0], 'Textures/');
    await assert.rejects(runExperiment(experiment(path), { addon, where: 'x.yaml' }), {
      code: 'E_DATA',
      message: `x.yaml: suite: CIFAR-10 (train) is missing: expected ${path}/cifar-10-batches-bin, found nothing; get cifar-10-binary.tar.gz at https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz`,
    });
  });
});
