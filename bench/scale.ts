/**
 * Time and peak memory of a run against the number of modes, OoD sets, images and ensembles, each doubled four times.
 *
 *   npm run bench:scale -- [--modes 2] [--sets 1] [--images 1000] [--ensembles 8] [--doublings 4] [--arch cifar-resnet18] [--width 16]
 *       [--detectors msp,energy,knn] [--threads N] [--modes-at-once N] [--grows modes,sets,images,ensembles]
 *
 * The modes are initial weights, which take as long as trained ones; data are the built-in shapes against noise. Each measurement is a
 * run of its own in an empty folder, in a process of its own: extraction, fits, evaluation and report. Prints a row a measurement, and how
 * time and memory grow with a doubling (2 is in proportion).
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { subsetsOfSize } from '../lib/ensemble/index.js';
import { archOptions, resolveArch } from '../lib/modes/arch.js';
import { startJob } from '../lib/native/job.js';
import { getAddon } from '../lib/native/load.js';

const { values } = parseArgs({
  options: {
    modes: { type: 'string', default: '2' },
    sets: { type: 'string', default: '1' },
    images: { type: 'string', default: '1000' },
    ensembles: { type: 'string', default: '8' },
    doublings: { type: 'string', default: '4' },
    arch: { type: 'string', default: 'cifar-resnet18' },
    width: { type: 'string', default: '16' },
    detectors: { type: 'string', default: 'msp,energy,knn' },
    threads: { type: 'string', default: String(availableParallelism()) },
    'modes-at-once': { type: 'string' },
    grows: { type: 'string', default: 'modes,sets,images,ensembles' },
  },
});

interface Size {
  modes: number;
  /** OoD sets, and images of each. */
  sets: number;
  images: number;
  ensembles: number;
}

const base: Size = {
  modes: Number(values.modes),
  sets: Number(values.sets),
  images: Number(values.images),
  ensembles: Number(values.ensembles),
};
const doublings = Number(values.doublings);
const atOnce = values['modes-at-once'];
/** So many modes are there where the number of ensembles is what grows. */
const MODES_OF_ENSEMBLES = 10;
const CLASSES = 10;
const BIN = resolve(dirname(new URL(import.meta.url).pathname), '../../bin/mode-ensemble.js');
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-scale-'));

async function makeModes(count: number): Promise<void> {
  const arch = resolveArch(values.arch, Number(values.width));
  mkdirSync(join(folder, 'modes'));
  for (let seed = 1; seed <= count; seed++) {
    const output = join(folder, 'modes', `${seed}.safetensors`);
    const options = { arch: archOptions(arch, CLASSES), seed, output, metadata: {} };
    await startJob((sink) => getAddon().initWeights(options, sink)).done;
  }
}

/** Pairs first, then triples, and so on. */
function ensemblesOf(modes: number, count: number): number[][] {
  const names = Array.from({ length: modes }, (_, i) => String(i + 1));
  const all: number[][] = [];
  for (let size = 2; size <= modes && all.length < count; size++) {
    all.push(...subsetsOfSize(names, size).map((members) => members.map(Number)));
  }
  return all.slice(0, count);
}

let runs = 0;

async function measure({ modes, sets, images, ensembles }: Size): Promise<{ seconds: number; bytes: number }> {
  const run = join(folder, `run-${runs++}`);
  const file = `${run}.yaml`;
  const experiment = {
    ...{ run, in: 'builtin:shapes', arch: values.arch, width: Number(values.width) },
    // Each of another length, so that none is taken for another.
    out: Array.from({ length: sets }, (_, i) => `Noise${i}=made-up:32/${CLASSES}/${images + i}?split=train`),
    seeds: Array.from({ length: modes }, (_, i) => i + 1),
    checkpoints: join(folder, 'modes', '{seed}.safetensors'),
    threads: Number(values.threads),
    ...(atOnce === undefined ? {} : { modesAtOnce: Number(atOnce) }),
    evaluate: { detectors: values.detectors.split(','), ensembles: ensemblesOf(modes, ensembles) },
  };
  writeFileSync(file, JSON.stringify(experiment));
  const began = performance.now();
  const child = spawn(process.execPath, [BIN, 'run', file, '--json'], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk) => {
    said = `${said}${chunk}`.slice(-4000);
  });
  let bytes = 0;
  const timer = setInterval(() => {
    try {
      const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1];
      bytes = Math.max(bytes, 1024 * Number(peak ?? 0));
    } catch {
      // It has ended.
    }
  }, 20);
  const code = await new Promise((done) => child.once('close', done));
  clearInterval(timer);
  const seconds = (performance.now() - began) / 1000;
  if (code !== 0) throw new Error(`a run has ended with ${code}: ${said}`);
  rmSync(run, { recursive: true, force: true });
  return { seconds, bytes };
}

try {
  const most = Math.max(base.modes * 2 ** doublings, MODES_OF_ENSEMBLES);
  await makeModes(most);
  process.stdout.write(
    `${cpus()[0]?.model}, ${values.threads} threads; ${values.arch} of width ${values.width}; ${values.detectors}\n`,
  );
  process.stdout.write('grows      modes  sets  images  ensembles  seconds    MB  × time  × memory\n');
  for (const grows of values.grows.split(',') as (keyof Size)[]) {
    if (!(grows in base)) throw new Error(`--grows: expected some of ${Object.keys(base).join(', ')}, found ${grows}.`);
    const start = grows === 'ensembles' ? { ...base, modes: MODES_OF_ENSEMBLES } : { ...base, ensembles: 1 };
    let before: { seconds: number; bytes: number } | undefined;
    for (let doubling = 0; doubling <= doublings; doubling++) {
      const size = { ...start, [grows]: start[grows] * 2 ** doubling };
      const found = await measure(size);
      const ratio = (name: 'seconds' | 'bytes') => (before ? (found[name] / before[name]).toFixed(2) : '–');
      const numbers = [size.modes, size.sets, size.images, size.ensembles].map(String);
      const cells = [
        grows.padEnd(9),
        ...numbers.map((text, i) => text.padStart([5, 4, 6, 9][i] as number)),
        found.seconds.toFixed(1).padStart(7),
        (found.bytes / 1e6).toFixed(0).padStart(4),
        ratio('seconds').padStart(6),
        ratio('bytes').padStart(8),
      ];
      process.stdout.write(`${cells.join('  ')}\n`);
      before = found;
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
