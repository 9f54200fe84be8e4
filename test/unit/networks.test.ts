import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { ArchOptions } from '../../lib/native/contract.js';
import { initWeights, trace, writeNetworkInput } from '../helpers/networks.js';

const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-unit-networks-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const output = join(folder, 'output');
const config = (message: string) => ({ code: 'E_CONFIG', message });

describe('options of networks', () => {
  const refused: [Partial<ArchOptions>, string][] = [
    [{ name: 'densenet121', width: 7 }, 'width: expected a multiple of 2, found 7.'],
    [{ name: 't2t-vit-7', width: 96 }, 'width: expected a multiple of 64, found 96.'],
    [{ name: 'densenet121', width: 8, dropout: 0.1 }, 'dropout: expected 0, as densenet121 has none, found 0.100000.'],
  ];
  for (const [options, message] of refused) {
    it(`refuses ${JSON.stringify(options)}`, async () => {
      const arch = { name: '', width: 0, classes: 3, dropout: 0, ...options };
      await assert.rejects(initWeights(arch, 1, output), config(message));
    });
  }

  it('knows the names of papers and of the reference', async () => {
    for (const [name, width] of [
      ['DN121', 4],
      ['DenseNetBC100', 4],
      ['t2tvit', 64],
    ] as const) {
      assert.ok((await initWeights({ name, width, classes: 3, dropout: 0 }, 1, output)).tensors.size > 100);
    }
  });
});

it('T2T-ViT refuses images for which its table of positions is not made', async () => {
  const arch = { name: 't2t-vit-7', width: 64, classes: 3, dropout: 0.1 };
  const input = join(folder, 'input');
  writeNetworkInput(input, 64, 3);
  const message = 'transform.crop: expected 224, for which the positions of T2T-ViT are made, found 64.';
  await assert.rejects(trace(arch, { seed: 1 }, input, output), config(message));
});
