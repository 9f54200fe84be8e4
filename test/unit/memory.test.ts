/** How much memory it takes to open a checkpoint, in a process of its own. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { archOptions, resolveArch } from '../../lib/modes/arch.js';
import { convertCheckpoint } from '../../lib/modes/convert.js';
import { initWeights } from '../helpers/networks.js';

const OPEN = fileURLToPath(new URL('../../bench/open-checkpoint.js', import.meta.url));
const CLASSES = 1000;
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-memory-'));
after(() => rmSync(folder, { recursive: true, force: true }));
// What is needed beside the weights is one more tensor at a time, of which the largest is a tenth of this network.
const [small, large] = ['resnet18-w8', 'resnet50-w44'] as const;
const file = (arch: string, format: string) => join(folder, `${arch}.${format}`);
const skip = process.platform === 'linux' ? false : 'only Linux tells the peak';

describe('opening a checkpoint of 50 MB', { skip }, () => {
  before(async () => {
    for (const arch of [small, large]) {
      const [input, output] = [file(arch, 'safetensors'), file(arch, 'pth')];
      await initWeights(archOptions(resolveArch(arch), CLASSES), 1, input);
      await convertCheckpoint({ input, output });
    }
  });

  for (const format of ['pth', 'safetensors']) {
    it(`from ${format} raises the peak by at most 1.2 times the file`, () => {
      const args = [OPEN, small, file(small, format), large, file(large, format), String(CLASSES)];
      const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      assert.equal(status, 0, stderr);
      const { growth }: { growth: number } = JSON.parse(stdout);
      const ratio = growth / statSync(file(large, format)).size;
      // The weights themselves are there afterwards: less than 0.9 would mean that nothing was measured.
      assert.ok(ratio > 0.9 && ratio <= 1.2, `${ratio.toFixed(2)} times the file`);
    });
  }
});
