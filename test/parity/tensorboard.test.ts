/** What TensorBoard's own reader finds in the events of a training. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { trainSchema } from '../../lib/config/recipes.js';
import { openData } from '../../lib/data/open.js';
import { resolveArch } from '../../lib/modes/arch.js';
import { trainMode } from '../../lib/modes/train.js';
import { writeCifar } from '../helpers/cifar.js';
import { hasModule, pythonWithTorch, runPython } from '../helpers/python.js';

const READER = 'tensorboard.backend.event_processing.event_accumulator';
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-tensorboard-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const python = pythonWithTorch();
const skip = python && hasModule(python, READER) ? false : 'there is no Python with torch and tensorboard';

/** Fields of a line by their tags. */
const STEP = {
  ...{ 'loss-ce': 'loss', 'train-top1': 'top1', 'train-top5': 'top5', 'learning-rate': 'learningRate' },
  ...{ 'images-per-second': 'imagesPerSecond', 'data-wait': 'dataWait' },
};
const EPOCH = { valacc: 'accuracy', 'val-top5': 'top5', 'val-loss': 'testLoss' };

describe('TensorBoard reads', { skip }, () => {
  it('the tags, steps, times and values of log.jsonl, of a training that was stopped and went on', async () => {
    const data = writeCifar(join(folder, 'cifar'), 128, 64);
    const [train, test] = await Promise.all([
      openData(`cifar10:${data}?split=train`),
      openData(`cifar10:${data}?split=test`),
    ]);
    const mode = join(folder, 'mode');
    const settings = trainSchema.parse({ epochs: 3, batchSize: 32, reportSteps: 1 });
    const options = {
      arch: resolveArch('R18', 4),
      seed: 3,
      train,
      test,
      settings,
      threads: 1,
      workers: 1,
      folder: mode,
    };
    const stop = new AbortController();
    const onStep = ({ globalStep }: { globalStep: number }) => globalStep === 6 && stop.abort();
    await assert.rejects(trainMode(options, { signal: stop.signal, onStep }), { code: 'E_ABORTED' });
    const { resumedAt = 0 } = await trainMode(options);
    assert.ok(resumedAt >= 6 && resumedAt < 12, `went on from ${resumedAt}`);

    const lines = readFileSync(join(mode, 'log.jsonl'), 'utf8').trimEnd().split('\n');
    const events: Record<string, number | string>[] = lines.map((line) => JSON.parse(line));
    const expected = ([type, at, tags]: readonly [string, string, Record<string, string>]) =>
      Object.entries(tags).map(([tag, field]) => {
        const told = events.filter((event) => event.type === type);
        return [tag, told.map((event) => [event.time, event[at], Math.fround(event[field] as number)])];
      });
    const found = JSON.parse(runPython(python as never, 'read_events.py', mode));
    assert.deepEqual(
      found,
      Object.fromEntries([...expected(['step', 'globalStep', STEP]), ...expected(['epoch', 'epoch', EPOCH])]),
    );
    assert.deepEqual([found['loss-ce'].length, found.valacc.length], [12, 3]);
  });
});
