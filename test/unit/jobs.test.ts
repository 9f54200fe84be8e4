import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { DataHandle, EpochEvent, OpenDataResult, ProgressEvent } from '../../lib/native/contract.js';
import { startJob } from '../../lib/native/job.js';
import { getAddon } from '../../lib/native/load.js';
import { writeCifar } from '../helpers/cifar.js';
import { CIFAR_TRANSFORM, extractOptions, failure, open, openOptions, quiet, trainOptions } from '../helpers/native.js';

const addon = getAddon();
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-jobs-'));
let train: OpenDataResult;
let test: OpenDataResult;

before(async () => {
  const path = writeCifar(join(folder, 'cifar'), 256, 64);
  train = await open({ path });
  test = await open({ path, split: 'test' });
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** Would take minutes if nothing stopped it. */
const long = (name: string) =>
  trainOptions(train.handle, test.handle, join(folder, name), { epochs: 10_000, batchSize: 64 });

describe('jobs', () => {
  it('leave the event loop free while a job trains', async () => {
    const job = startJob((sink) => addon.train(long('ticks.safetensors'), sink));
    const gaps: number[] = [];
    let last = performance.now();
    const timer = setInterval(() => {
      gaps.push(performance.now() - last);
      last = performance.now();
    }, 5);
    await sleep(1500);
    clearInterval(timer);
    job.abort();
    await assert.rejects(job.done, { code: 'E_ABORTED' });
    gaps.sort((a, b) => a - b);
    const median = gaps[gaps.length >> 1] as number;
    assert.ok(gaps.length > 50, `the timer ticked ${gaps.length} times in 1.5 s`);
    assert.ok(median < 50, `half of the ticks came ${median} ms after the one before`);
  });

  it('end within one batch when their AbortSignal says so, and leave no file', async () => {
    const controller = new AbortController();
    const progress: ProgressEvent[] = [];
    const began = new Promise<void>((resolve) => {
      const hooks = {
        signal: controller.signal,
        onProgress(event: ProgressEvent) {
          progress.push(event);
          if (event.phase === 'train') resolve();
        },
      };
      running = startJob((sink) => addon.train(long('aborted.safetensors'), sink), hooks);
    });
    await began;
    const asked = performance.now();
    controller.abort();
    await assert.rejects((running as { done: Promise<unknown> }).done, {
      name: 'ModeEnsembleError',
      code: 'E_ABORTED',
      message: 'The job was stopped.',
    });
    assert.ok(performance.now() - asked < 5000);
    assert.ok(progress.every(({ done, total }) => done <= total));
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith('aborted')),
      [],
    );
  });
  let running: { done: Promise<unknown> } | undefined;

  it('do not begin when the signal was given before', async () => {
    const job = startJob(
      () => {
        throw new Error('started');
      },
      { signal: AbortSignal.abort() },
    );
    await assert.rejects(job.done, { code: 'E_ABORTED' });
    job.abort();
  });

  it('may be aborted again and again, during and after', async () => {
    const job = addon.train(long('again.safetensors'), quiet);
    job.abort();
    job.abort();
    assert.equal((await failure(job)).code, 'E_ABORTED');
    job.abort();
  });

  it('report each epoch and give a result', async () => {
    const epochs: EpochEvent[] = [];
    const options = trainOptions(train.handle, test.handle, join(folder, 'short.safetensors'), { epochs: 2 });
    const job = startJob((sink) => addon.train(options, sink), { onEpoch: (event) => epochs.push(event) });
    const result = await job.done;
    assert.deepEqual(
      epochs.map(({ epoch, epochs: of }) => [epoch, of]),
      [
        [1, 2],
        [2, 2],
      ],
    );
    assert.equal(epochs[0]?.learningRate, 0.05);
    assert.ok(Math.abs((epochs[1]?.learningRate ?? 0) - 0.025) < 1e-12);
    assert.equal(result.loss, epochs[1]?.loss);
    assert.equal(result.accuracy, epochs[1]?.accuracy);
    assert.ok(result.accuracy >= 0 && result.accuracy <= 100);
    assert.ok(result.imagesPerSecond > 0);
  });

  it('run side by side', async () => {
    const jobs = [1, 2, 3].map((seed) =>
      addon.train(trainOptions(train.handle, test.handle, join(folder, `side-${seed}.safetensors`), { seed }), quiet),
    );
    const losses = (await Promise.all(jobs.map(({ done }) => done))).map(({ loss }) => loss);
    assert.equal(new Set(losses).size, 3);
  });

  it('carry the JavaScript stack of the call', async () => {
    const job = startJob((sink) =>
      addon.openData(openOptions({ reader: 'cifar10', path: '/nowhere/at/all', split: 'test' }), sink),
    );
    await assert.rejects(job.done, (error: Error & { code: string }) => {
      assert.equal(error.code, 'E_DATA');
      assert.match(error.stack ?? '', /jobs\.test/);
      assert.match(error.message, /\/nowhere\/at\/all/);
      return true;
    });
  });
});

describe('worker threads and process exit', () => {
  const source = (end: string) => `
    const { workerData, parentPort } = require('node:worker_threads');
    const addon = require(workerData.addon);
    (async () => {
      const quiet = () => {};
      const data = await addon.openData({ reader: 'cifar10', path: workerData.path, split: 'train', labels: '', root: '', cache: '', threads: 1, skipBadImages: false }, quiet).done;
      const options = { ...workerData.options, train: data.handle, test: data.handle };
      addon.train(options, (event) => {
        if (event.type !== 'progress') return;
        parentPort?.postMessage('training');
        ${end}
      }).done.catch(() => {});
    })();`;

  const workerData = () => {
    const { train: _, test: __, ...options } = long('worker.safetensors');
    return {
      addon: join(process.cwd(), 'build-native/Release/mode_ensemble.node'),
      path: join(folder, 'cifar'),
      options,
    };
  };

  it('a worker may exit by itself in mid-job', async () => {
    const worker = new Worker(source('process.exit(5)'), { eval: true, workerData: workerData() });
    const code = await new Promise((resolve) => worker.on('exit', resolve));
    assert.equal(code, 5);
  });

  it('a worker may be terminated in mid-job, and the addon goes on working elsewhere', async () => {
    const worker = new Worker(source(''), { eval: true, workerData: workerData() });
    await new Promise((resolve) => worker.once('message', resolve));
    await worker.terminate();
    const options = trainOptions(train.handle, test.handle, join(folder, 'after.safetensors'));
    assert.ok((await addon.train(options, quiet).done).loss > 0);
  });

  /** The exit codes of five processes that run this script; it crashed in about half of the cases once. */
  const exits = (name: string, text: string) => {
    const script = join(folder, name);
    writeFileSync(script, text);
    return Array.from({ length: 5 }, () => {
      const { status, signal, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8', timeout: 20_000 });
      return [status, signal, stderr];
    });
  };
  const alone = (end: string) =>
    source(end).replace(
      /const \{ workerData, parentPort \}.*;/,
      `const workerData = ${JSON.stringify(workerData())}, parentPort = null;`,
    );
  const five = (outcome: unknown[]) => Array.from({ length: 5 }, () => outcome);

  it('a process may exit in mid-job with its own code', () => {
    assert.deepEqual(exits('exit.cjs', alone('process.exit(7)')), five([7, null, '']));
  });

  it('a process may exit while a worker of it is in mid-job', () => {
    const text = `
      const { Worker, isMainThread } = require('node:worker_threads');
      require(${JSON.stringify(workerData().addon)});
      const worker = new Worker(${JSON.stringify(source(''))}, { eval: true, workerData: ${JSON.stringify(workerData())} });
      worker.once('message', () => process.exit(7));`;
    assert.deepEqual(exits('worker-exit.cjs', text), five([7, null, '']));
  });

  it('an uncaught exception ends the process in mid-job as it ends any', () => {
    for (const [status, signal, stderr] of exits('throw.cjs', alone("throw new Error('of the listener')"))) {
      assert.deepEqual([status, signal], [1, null]);
      assert.match(stderr as string, /Error: of the listener/);
    }
  });

  it('no job begins any more when the process exits', () => {
    const text = alone(`
      process.on('exit', () => { try { addon.train(options, quiet); } catch (error) { console.error(error.code); } });
      process.exit(7)`);
    assert.deepEqual(exits('late.cjs', text), five([7, null, 'E_ABORTED\n']));
  });
});

describe('handles and options', () => {
  it('a second dispose is harmless; a later use says so', async () => {
    const data = await open({ path: join(folder, 'cifar') });
    addon.disposeData(data.handle);
    addon.disposeData(data.handle);
    assert.throws(() => addon.readImage(data.handle, 0, CIFAR_TRANSFORM), {
      code: 'E_CONFIG',
      message: 'handle: this data set has been disposed of.',
    });
  });

  it('a set may be disposed of while a job reads it', async () => {
    const data = await open({ path: join(folder, 'cifar') });
    const job = addon.train(trainOptions(data.handle, data.handle, join(folder, 'disposed.safetensors')), quiet);
    addon.disposeData(data.handle);
    assert.ok((await job.done).loss > 0);
  });

  it('what is not a data handle is refused', () => {
    const options = trainOptions({} as DataHandle, test.handle, join(folder, 'x'));
    assert.throws(() => addon.train(options, quiet), {
      code: 'E_CONFIG',
      message: 'train: expected a data handle, found object.',
    });
    assert.throws(() => addon.disposeData(null as unknown as DataHandle), { code: 'E_CONFIG' });
  });

  it('a missing field or one of another type is named', () => {
    const options = trainOptions(train.handle, test.handle, join(folder, 'x'));
    const wrong = (change: object) => () => addon.train({ ...options, ...change } as never, quiet);
    assert.throws(wrong({ epochs: undefined }), { message: 'epochs: expected a number, found undefined.' });
    assert.throws(wrong({ epochs: 1.5 }), { code: 'E_CONFIG' });
    assert.throws(
      wrong({ transform: { ...options.transform, mean: [1, 2] } }),
      /transform\.mean: expected three numbers/,
    );
    assert.throws(wrong({ metadata: { a: 1 } }), { message: 'metadata.a: expected a string, found a number.' });
    assert.throws(() => addon.train(options, undefined as never), /sink: expected a function/);
  });

  it('an unknown architecture and a bad precision are refused', async () => {
    const job = (change: object) =>
      addon.train({ ...trainOptions(train.handle, test.handle, join(folder, 'x')), ...change }, quiet);
    assert.match(
      (await failure(job({ arch: { name: 'resnet', width: 8, classes: 10, dropout: 0 } }))).message,
      /"resnet"/,
    );
    assert.match(
      (await failure(job({ precision: 'int3' }))).message,
      /precision: expected float32, float32-plain or bfloat16, found "int3"/,
    );
    assert.match(
      (await failure(job({ arch: { name: 'cifar-resnet18', width: 8, classes: 5, dropout: 0 } }))).message,
      /label from 0 to 4, found 5/,
    );
  });
});

describe('checkpoints', () => {
  it('are the same bytes for the same seed, and others for another', async () => {
    const bytes = async (name: string, precision: 'float32' | 'bfloat16', seed: number) => {
      const path = join(folder, name);
      const options = trainOptions(train.handle, test.handle, path, { epochs: 2, precision, seed, workers: 2 });
      await addon.train(options, quiet).done;
      return readFileSync(path);
    };
    for (const precision of ['float32', 'bfloat16'] as const) {
      const [a, b, c] = [
        await bytes(`a-${precision}`, precision, 1),
        await bytes(`b-${precision}`, precision, 1),
        await bytes(`c-${precision}`, precision, 2),
      ];
      assert.ok(a.equals(b), `${precision}: two runs of one seed differ`);
      assert.ok(!a.equals(c), `${precision}: two seeds give the same bytes`);
    }
  });

  it('of another shape are refused with the tensors that differ', async () => {
    const checkpoint = join(folder, 'narrow.safetensors');
    await addon.initWeights(
      {
        arch: { name: 'cifar-resnet18', width: 4, classes: 10, dropout: 0 },
        seed: 1,
        output: checkpoint,
        metadata: {},
      },
      quiet,
    ).done;
    const output = join(folder, 'f.safetensors');
    const error = await failure(addon.extract(extractOptions(test.handle, checkpoint, output, 8), quiet));
    assert.equal(error.code, 'E_CHECKPOINT');
    assert.match(
      error.message,
      /narrow\.safetensors: does not fit the network: 10\d of another shape \(conv1\.weight: expected float32 \[8, 3, 3, 3\], found float32 \[4, 3, 3, 3\]/,
    );
  });

  it('that are cut off, empty or no safetensors are refused with file and byte', async () => {
    const whole = readFileSync(join(folder, 'narrow.safetensors'));
    const cases: [string, Buffer, RegExp][] = [
      ['cut', whole.subarray(0, whole.length - 10), /expected .* bytes or more/],
      ['empty', Buffer.alloc(0), /byte 0: expected a checkpoint, found an empty file/],
      [
        'text',
        Buffer.from('this is not a checkpoint at all'),
        /byte 0: expected a torch or safetensors checkpoint, found a file that begins with "this is not/,
      ],
      ['json', Buffer.from('\x02\0\0\0\0\0\0\0{]', 'latin1'), /byte 9 of the header: expected/],
    ];
    for (const [name, content, message] of cases) {
      const checkpoint = join(folder, `${name}.safetensors`);
      writeFileSync(checkpoint, content);
      const output = join(folder, 'f.safetensors');
      const error = await failure(addon.extract(extractOptions(test.handle, checkpoint, output, 4), quiet));
      assert.equal(error.code, 'E_CHECKPOINT', name);
      assert.match(error.message, message);
      assert.ok(error.message.startsWith(checkpoint), error.message);
    }
  });

  it('that cannot be written are named', async () => {
    const error = await failure(addon.train(trainOptions(train.handle, test.handle, '/dev/full/x.safetensors'), quiet));
    assert.equal(error.code, 'E_IO');
    assert.match(error.message, /^\/dev\/full\/x\.safetensors: cannot be written: /);
  });
});
