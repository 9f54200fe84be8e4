/** Feature files are for Python people too: the standard library reads the same numbers as we do, float16 included. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { FeatureFile, PLAIN } from '../../lib/features/index.js';
import { archOptions, resolveArch } from '../../lib/modes/arch.js';
import { getAddon } from '../../lib/native/load.js';
import { writeCifar } from '../helpers/cifar.js';
import { extractOptions, open, quiet } from '../helpers/native.js';
import { initWeights } from '../helpers/networks.js';

const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-read-features-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const python = process.env.MODE_ENSEMBLE_PYTHON ?? 'python3';
const skip = spawnSync(python, ['-c', '']).status === 0 ? false : 'there is no Python';

describe('a feature file in Python', { skip }, () => {
  for (const storage of ['float32', 'float16'] as const) {
    it(`has the same numbers, stored in ${storage}`, async () => {
      const arch = archOptions(resolveArch('cifar-resnet20', 4), 10);
      const [checkpoint, path] = [join(folder, 'weights.safetensors'), join(folder, `${storage}.safetensors`)];
      await initWeights(arch, 1, checkpoint);
      writeCifar(join(folder, 'cifar'), 6);
      const { handle } = await open({ path: join(folder, 'cifar') });
      const outputs = [{ pass: PLAIN, path, storage, metadata: { key: 'k' } }];
      const members = [{ arch, checkpoint, outputs, stageScores: [] }];
      await getAddon().extract(extractOptions(handle, checkpoint, path, 4, { members }), quiet).done;
      const { status, stdout, stderr } = spawnSync(python, ['test/parity/read_features.py', path], {
        encoding: 'utf8',
      });
      assert.equal(status, 0, stderr);
      const { metadata, tensors } = JSON.parse(stdout);
      const file = await FeatureFile.open(path);
      assert.deepEqual(metadata, { key: 'k', penultimate: 'stage4' });
      const shapes = Object.entries<{ shape: number[]; dtype: string }>(tensors);
      assert.deepEqual(
        Object.fromEntries(shapes.map(([name, { dtype, shape }]) => [name, { dtype, shape }])),
        file.tensors,
      );
      assert.equal(tensors.stage4.dtype, storage === 'float16' ? 'F16' : 'F32');
      for (const name of ['logits', ...file.stages]) {
        assert.deepEqual([...(await file.tensor(name))], tensors[name].values, name);
      }
      assert.deepEqual([...(await file.labels())], tensors.labels.values);
      assert.deepEqual([...(await file.predictions())], tensors.predictions.values);
    });
  }
});
