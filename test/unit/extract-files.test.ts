/** How feature files are written: in bounded memory, and under temporary names that nobody else has. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openData } from '../../lib/data/open.js';
import { FeatureStore, PLAIN } from '../../lib/features/index.js';
import { archOptions, resolveArch } from '../../lib/modes/arch.js';
import type { Member } from '../../lib/modes/member.js';
import type { ExtractOptions } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { extractFeatures } from '../../lib/run/extract.js';
import { writeCifar } from '../helpers/cifar.js';
import { extractOne } from '../helpers/features.js';
import { CIFAR_TRANSFORM, open } from '../helpers/native.js';
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

  it('opens as many networks together as it may, and writes the same bytes', async () => {
    const arch = resolveArch('cifar-resnet18', 2);
    const options = archOptions(arch, 10);
    writeCifar(join(folder, 'some'), 4);
    const classes = Array.from({ length: 10 }, (_, i) => `class ${i}`);
    using opened = await openData(`cifar10:${join(folder, 'some')}`);
    const set = { ...opened, classes };
    const members: Member[] = [];
    for (const name of ['1', '2', '3']) {
      const checkpoint = join(folder, `mode-${name}.safetensors`);
      await initWeights(options, Number(name), checkpoint);
      members.push({ name, checkpoint, weightsHash: name.repeat(64), arch, transform: CIFAR_TRANSFORM, classes: 10 });
    }
    const made = async (modesAtOnce?: number) => {
      const jobs: number[] = [];
      const stages: string[] = [];
      const addon = Object.assign(Object.create(getAddon()), {
        extract: (asked: ExtractOptions, sink: Parameters<ReturnType<typeof getAddon>['extract']>[1]) => {
          jobs.push(asked.members.length);
          return getAddon().extract(asked, sink);
        },
      });
      const store = new FeatureStore(mkdtempSync(join(folder, 'store-')));
      const machine = { threads: 1, workers: 1, batchSize: 4, precision: 'float32' as const, addon, modesAtOnce };
      const sets = { test: set, out: [] };
      const result = await extractFeatures(
        { ...machine, members, sets, passes: [PLAIN], store },
        { onStage: (stage) => stages.push(stage.replace(/^.*\(test\)/, '')) },
      );
      assert.equal(result.made, 3);
      return { jobs, stages, bytes: result.madePaths.map((path) => readFileSync(path)) };
    };
    const together = await made();
    assert.deepEqual([together.jobs, together.stages], [[3], ['']]);
    const apart = await made(2);
    assert.deepEqual(
      [apart.jobs, apart.stages],
      [
        [2, 1],
        [' (group 1 of 2)', ' (group 2 of 2)'],
      ],
    );
    assert.deepEqual(apart.bytes, together.bytes);
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
