/** How feature files are written: in bounded memory, and under temporary names that nobody else has. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { archOptions, resolveArch } from '../../lib/modes/arch.js';
import { writeCifar } from '../helpers/cifar.js';
import { extractOne } from '../helpers/features.js';
import { open } from '../helpers/native.js';
import { initWeights } from '../helpers/networks.js';

const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-extract-files-'));
after(() => rmSync(folder, { recursive: true, force: true }));

describe('extraction', () => {
  it('passes over temporary names that are taken', async () => {
    const arch = archOptions(resolveArch('cifar-resnet18', 2), 10);
    const checkpoint = join(folder, 'weights.safetensors');
    await initWeights(arch, 1, checkpoint);
    writeCifar(join(folder, 'cifar'), 4);
    const { handle } = await open({ path: join(folder, 'cifar') });
    const own = mkdtempSync(join(folder, 'taken-'));
    const output = join(own, 'a.safetensors');
    // As a process of this number would leave them that was killed on another machine.
    const taken = Array.from({ length: 40 }, (_, index) => `a.safetensors.tmp-${process.pid}-${index}`);
    for (const name of taken) writeFileSync(join(own, name), 'theirs');
    const file = await extractOne(handle, checkpoint, output, 2);
    assert.equal(file.count, 4);
    assert.deepEqual(readdirSync(own).sort(), ['a.safetensors', ...taken].sort());
  });

  it('takes no more memory for a file of 160 MB than for one of 32 MB', {
    skip: process.platform === 'linux' ? false : 'only Linux tells the peak',
  }, async () => {
    const classes = 4000;
    const name = 'cifar-resnet20-w4';
    const checkpoint = join(folder, 'wide.safetensors');
    await initWeights(archOptions(resolveArch(name), classes), 1, checkpoint);
    const script = fileURLToPath(new URL('../../bench/extract-memory.js', import.meta.url));
    const [small, large] = ['test', 'train'].map((split) => {
      const args = [script, name, checkpoint, String(classes), split, folder];
      const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      assert.equal(status, 0, stderr);
      return JSON.parse(stdout) as { rows: number; bytes: number; growth: number };
    });
    assert.ok(small && large);
    assert.deepEqual([small.rows, large.rows], [2000, 10_000]);
    assert.ok(small.bytes > 32e6 && large.bytes > 160e6 && large.bytes < 165e6);
    const [a, b] = [small.growth / 1e6, large.growth / 1e6];
    assert.ok(b < 16 && b - a < 12, `${a.toFixed(1)} MB and ${b.toFixed(1)} MB`);
  });
});
