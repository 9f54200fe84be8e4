/**
 * The loader beside a Python pipeline (Pillow and torch's DataLoader, with torchvision's steps), on the same files, in turn:
 *
 *   npm run bench:data -- [--images FOLDER] [--cifar FOLDER] [--rounds 3] [--workers 1,2] [--python python3]
 *
 * `--images`: a folder of JPEGs of ImageNet's sizes; `--cifar`: CIFAR-10's binary layout (default: the test data
 * beside the project). Prints the median of the rounds, images a second for each thread that
 * prepares images, the ratio, and where our time goes. Without a Python that has torch and Pillow, ours alone.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { resolveArch } from '../lib/modes/arch.js';
import type { AugmentOptions, DataHandle, LoadPassResult, OpenDataResult, ReaderName } from '../lib/native/contract.js';
import { getAddon } from '../lib/native/load.js';
import { testData } from '../test/helpers/data.js';

const { values } = parseArgs({
  options: {
    images: { type: 'string' },
    cifar: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    workers: { type: 'string', default: '1,2' },
    python: { type: 'string', default: 'python3' },
  },
});
const root = testData() ?? 'data';
const images = values.images ?? join(root, 'imagenet-sample');
const cifar = values.cifar ?? join(root, 'cifar-10-batches-bin');
const rounds = Number(values.rounds);
const BATCH = 64;
const addon = getAddon();

const RESIZED: AugmentOptions = {
  crop: 'resized',
  cropPadding: 0,
  scale: [0.08, 1],
  ratio: [3 / 4, 4 / 3],
  flip: true,
  randAugment: 0,
  randAugmentOps: 2,
  randAugmentNoise: 0.5,
  erasing: 0,
};
const PADDED: AugmentOptions = { ...RESIZED, crop: 'padded', cropPadding: 4 };

interface Row {
  name: string;
  set: 'images' | 'cifar';
  arch: string;
  augment: AugmentOptions | null;
  decode: 'exact' | 'fast';
  /** The pipeline of bench/data_python.py that does the same. */
  python: 'eval' | 'train' | 'cifar';
  passes: number;
  pythonPasses: number;
  /** Asked of us: at least so many times Python's speed. */
  target: number;
}

const EXACT = { set: 'images', arch: 'resnet50', decode: 'exact', passes: 12, pythonPasses: 6 } as const;
const ROWS: readonly Row[] = [
  { ...EXACT, name: 'evaluation, exact', augment: null, python: 'eval', target: 1.5 },
  { ...EXACT, name: 'training, exact', augment: RESIZED, python: 'train', target: 1.5 },
  { ...EXACT, name: 'training, fast', augment: RESIZED, decode: 'fast', python: 'train', target: 3 },
  {
    ...EXACT,
    name: 'CIFAR-10',
    set: 'cifar',
    arch: 'cifar-resnet18',
    augment: PADDED,
    python: 'cifar',
    passes: 100,
    pythonPasses: 2,
    target: 10,
  },
];

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

function open(reader: ReaderName, path: string, split: string): Promise<OpenDataResult> {
  const usual = { labels: '', root: '', cache: '', threads: 1, skipBadImages: false };
  return addon.openData({ reader, path, split, ...usual }, () => {}).done;
}

/** The first pass is warm-up: files come into the system's cache, and the slots' memory from the system. */
async function ours(row: Row, data: DataHandle, workers: number): Promise<LoadPassResult> {
  const options = {
    data,
    transform: resolveArch(row.arch).transform,
    augment: row.augment,
    decode: row.decode,
    type: 'float32' as const,
    ...{ batchSize: BATCH, workers, shuffle: row.augment !== null, seed: 1, epoch: 0, keepDecoded: 0, hash: false },
    ...{ rank: 0, ranks: 1, evenShards: false },
  };
  await addon.loadPass({ ...options, passes: 1 }, () => {}).done;
  return addon.loadPass({ ...options, passes: row.passes }, () => {}).done;
}

/** The files of the training part. */
function batches(folder: string): string[] {
  const names = readdirSync(folder).filter((name) => /^data_batch_\d+\.bin$/.test(name));
  return names.sort().map((name) => join(folder, name));
}

function python(row: Row, workers: number): number | undefined {
  const paths = row.set === 'images' ? [images] : batches(cifar);
  const settings = ['--mode', row.python, '--workers', workers, '--batch', BATCH, '--repeat', row.pythonPasses];
  const args = ['bench/data_python.py', ...settings.map(String), ...paths];
  const { status, stdout, stderr } = spawnSync(values.python, args, { encoding: 'utf8' });
  if (status !== 0) {
    if (!/ModuleNotFoundError/.test(stderr)) console.log(`  ${stderr.trim().split('\n').at(-1)}`);
    return undefined;
  }
  const lines = stdout
    .trim()
    .split('\n')
    .filter((line) => line.startsWith('{'));
  return JSON.parse(lines.at(-1) ?? '{}').imagesPerSecond;
}

/** How far fast decoding is from exact decoding, over the boxes that training draws. */
function fastDifference(data: DataHandle, count: number): string {
  const transform = resolveArch('resnet50').transform;
  const boxes = { small: { count: 0, sum: 0, most: 0 }, whole: { count: 0, sum: 0, most: 0 } };
  const size = 3 * transform.crop ** 2;
  for (let index = 0; index < count; index++) {
    const { width, height } = addon.readImage(data, index, transform);
    const [left = 0, top = 0, w = 1, h = 1] = addon.randomBoxes({
      ...{ width, height, scale: RESIZED.scale, ratio: RESIZED.ratio, seed: index, epoch: 0, count: 1 },
    });
    const box = { left, top, width: w, height: h };
    const exact = addon.readImage(data, index, transform, box).pixels;
    const fast = addon.readImage(data, index, transform, box, 'fast').pixels;
    const kind = Math.min(w, h) >= 2 * transform.crop ? boxes.small : boxes.whole;
    kind.count++;
    for (let i = 0; i < size; i++) {
      const difference = Math.abs((exact[i] ?? 0) - (fast[i] ?? 0));
      kind.sum += difference;
      kind.most = Math.max(kind.most, difference);
    }
  }
  const told = ({ count: images, sum, most }: typeof boxes.small) =>
    `${images} images, off by ${(sum / Math.max(images * size, 1)).toFixed(3)} of 255 in the mean, ${most} at most`;
  return `fast decoding: decoded smaller ${told(boxes.small)}; at full size ${told(boxes.whole)}`;
}

const { cpuCapability, libjpeg } = addon.info();
console.log(`${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} threads, ${cpuCapability}; ${libjpeg}`);
const { handle, count } = await open('folder', images, '');
const handles = { images: handle, cifar: (await open('cifar10', cifar, 'train')).handle };
for (const workers of values.workers.split(',').map(Number)) {
  for (const row of ROWS) {
    const mine: LoadPassResult[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < rounds; round++) {
      mine.push(await ours(row, handles[row.set], workers));
      const other = python(row, workers);
      if (other !== undefined) theirs.push(other);
    }
    const speeds = mine.map(({ count, seconds }) => count / seconds);
    const speed = median(speeds);
    const each = speeds.map((x) => x.toFixed(0)).join(', ');
    console.log(
      `${row.name}, ${workers} worker${workers > 1 ? 's' : ''}: ${speed.toFixed(0)} images/s (rounds ${each})`,
    );
    const total = (key: 'fetchSeconds' | 'decodeSeconds' | 'resizeSeconds' | 'convertSeconds') =>
      mine.reduce((sum, result) => sum + result[key], 0);
    const parts = {
      fetch: total('fetchSeconds'),
      decode: total('decodeSeconds'),
      resize: total('resizeSeconds'),
      convert: total('convertSeconds'),
    };
    const all = Object.values(parts).reduce((sum, seconds) => sum + seconds, 0);
    const shares = Object.entries(parts).map(([name, seconds]) => `${name} ${((100 * seconds) / all).toFixed(0)} %`);
    console.log(`  of its threads' time: ${shares.join(', ')}`);
    if (theirs.length === 0) {
      console.log(`  ${values.python} has no torch or no Pillow: nothing to compare with`);
      continue;
    }
    const ratios = speeds.map((x, i) => x / (theirs[i] ?? Number.NaN));
    const ratio = median(ratios);
    const verdict = ratio >= row.target ? 'met' : 'missed';
    const theirMedian = median(theirs).toFixed(0);
    console.log(`  Python ${theirMedian}; ratio ${ratio.toFixed(2)}; at least ${row.target} is asked for: ${verdict}`);
  }
}
console.log(fastDifference(handle, count));
