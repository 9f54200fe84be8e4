/** Networks that other people trained and published: they load, and are as good here as in Python. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { evaluateClean } from '../../lib/run/run-checkpoints.js';
import { testData } from '../helpers/data.js';

const root = testData();
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-published-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** File, the architecture its tensors are those of, and right answers in percent as Python gives them. */
const PUBLISHED = [
  ['resnet20-cifar10.th', 'cifar-resnet20', 91.63],
  ['resnet32-cifar10.th', 'cifar-resnet32', 93.03],
  ['resnet56-cifar10.t7', 'cifar-resnet56-b', 93.56],
  ['densenet100-cifar10.pth.tar', 'cifar-densenet-bc-100', 93.45],
] as const;
const IMAGES = 932;

describe('published CIFAR-10 checkpoints', { skip: root ? false : 'the test data is not beside the project' }, () => {
  for (const [file, arch, percent] of PUBLISHED) {
    const settings = {
      checkpoints: [join(root as string, 'checkpoints', file)],
      in: `cifar10:${join(root as string, 'cifar-10-batches-bin')}`,
      features: join(folder, 'features'),
      batchSize: 128,
      precision: 'float32' as const,
      threads: 2,
      workers: 2,
    };

    it(`${file} is told to be a ${arch} and has ${percent} % right, to within one image`, async () => {
      const { arch: found, modes } = await evaluateClean(settings);
      assert.equal(found, arch);
      assert.equal(modes[0]?.n, IMAGES);
      const difference = Math.abs((modes[0]?.top1 ?? 0) - percent / 100) * IMAGES;
      // The percentage is rounded to two digits: 0.05 of an image.
      assert.ok(difference < 1.05, `${(modes[0]?.top1 ?? 0) * 100} %, ${difference} images away`);
    });

    it(`${file} does worse with another normalisation, which is an option`, async () => {
      const transform = { mean: [0, 0, 0], std: [1, 1, 1] } as { mean: [0, 0, 0]; std: [1, 1, 1] };
      const { modes } = await evaluateClean({ ...settings, transform });
      assert.ok((modes[0]?.top1 ?? 1) < percent / 100 - 0.05);
    });
  }
});
