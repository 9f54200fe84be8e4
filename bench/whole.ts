/**
 * A whole evaluation, from checkpoints and images on disk to scores and metrics, beside the reference's way of it: one mode, and
 * every ensemble of three of ten modes, with all seven detectors.
 *
 *   npm run bench:whole -- [--data FOLDER] [--python python3] [--part one,ten] [--rounds 1] [--images 1000] [--train 2000]
 *     [--width 64] [--modes 10] [--magnitude 0.0014] [--python-images 256] [--python-slow 64]
 *
 * CIFAR ResNet-18 with freshly drawn weights, float32, batches of 256, the same threads on both sides; twice `--images`
 * in-distribution images and five OoD sets of `--images`, `--train` training images for Mahalanobis and kNN on both sides. With
 * `--data` (a folder with CIFAR-10, SVHN, LSUN, iSUN, dtd, places) real images, else built-in ones; brought to 32 × 32 once.
 *
 * Ours is the command `eval-ood`, a process of its own with everything in it. The reference's way (bench/whole_reference.py) is
 * measured on a part and scaled up; the table says by how much. Mahalanobis has its magnitude and regression given on both
 * sides. With a step every ensemble goes back to its networks, on our side too, which takes hours for 120 of them: that run has
 * magnitude 0, and what a step would add is measured on a part as well. The reference takes the same time at any magnitude.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { DETECTORS } from '../lib/detectors/index.js';
import { subsetsOfSize } from '../lib/ensemble/index.js';
import { getAddon } from '../lib/native/load.js';
import type { OodSettings } from '../lib/run/run-checkpoints.js';
import { median, startPython } from './python.js';
import { agreement, type Reference, referenceRows, scaled, type Whole } from './whole_compare.js';
import {
  ARCH,
  REGRESSION,
  type StepTime,
  stepTime,
  type WrittenSet,
  writeGiven,
  writeModes,
  writeSets,
} from './whole_parts.js';

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    python: { type: 'string', default: 'python3' },
    part: { type: 'string', default: 'one,ten' },
    rounds: { type: 'string', default: '1' },
    images: { type: 'string', default: '1000' },
    train: { type: 'string', default: '2000' },
    width: { type: 'string', default: '64' },
    modes: { type: 'string', default: '10' },
    magnitude: { type: 'string', default: '0.0014' },
    'python-images': { type: 'string', default: '256' },
    'python-slow': { type: 'string', default: '64' },
    threads: { type: 'string', default: String(availableParallelism()) },
  },
});
const [rounds, perSet, train, width, modeCount, magnitude, threads] = [
  values.rounds,
  values.images,
  values.train,
  values.width,
  values.modes,
  values.magnitude,
  values.threads,
].map(Number) as [number, number, number, number, number, number, number];
const measured = Math.min(Number(values['python-images']), perSet);
const slow = Math.min(Number(values['python-slow']), measured);
const BATCH = 256;
/** Modes in an ensemble. */
const SIZE = 3;
const K = 50;
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-bench-'));
const python = startPython(values.python, 'whole_reference.py', String(threads));

type Sets = Awaited<ReturnType<typeof writeSets>>;

const spec = ({ name, images, labels }: WrittenSet) => `${name}=npy:${images}?labels=${labels}`;

/** The settings of the same evaluation as a call of the library. */
function settingsOf(sets: Sets, checkpoints: readonly string[], features: string): OodSettings {
  return {
    ...{ checkpoints, arch: ARCH, width, in: spec(sets.test), out: sets.out.map(spec), train: spec(sets.train) },
    ...{ features, batchSize: BATCH, precision: 'float32', threads, workers: threads },
  };
}

/** Seconds of `eval-ood`, start of the process and all. */
async function evalOod(sets: Sets, checkpoints: readonly string[], paths: Record<string, string>): Promise<number> {
  const { features = '', scores = '', tuned = '', csv = '' } = paths;
  const args = [
    ...['eval-ood', '--in', spec(sets.test), '--train', spec(sets.train)],
    ...sets.out.flatMap((set) => ['--out', spec(set)]),
    ...['--arch', ARCH, '--width', String(width), ...checkpoints.flatMap((file) => ['--checkpoint', file])],
    ...['--detector', DETECTORS.map(({ name }) => name).join(','), '--k', String(K), '--tuned', tuned],
    ...(checkpoints.length > 1 ? ['--ensemble-size', String(SIZE)] : []),
    ...['--features', features, '--scores', scores, '--csv', csv],
    ...['--batch-size', String(BATCH), '--threads', String(threads), '--workers', String(threads)],
  ];
  const start = performance.now();
  const child = spawn(process.execPath, [resolve('bin/mode-ensemble.js'), ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`eval-ood ended with ${code}.`);
  return (performance.now() - start) / 1000;
}

/** Ours, every round with an empty feature store. */
async function ours(name: string, sets: Sets, checkpoints: readonly string[], ownMagnitude: number) {
  const tuned = join(folder, `${name}-tuned.json`);
  const subsets = (names: readonly string[]) => [
    ...names.map((one) => [one]),
    ...(names.length > 1 ? subsetsOfSize(names, SIZE) : []),
  ];
  await writeGiven(settingsOf(sets, checkpoints, join(folder, 'given')), subsets, ownMagnitude, tuned);
  const times: number[] = [];
  let features = '';
  const [scores, csv] = [join(folder, `${name}-scores`), join(folder, `${name}.csv`)];
  for (let round = 0; round < rounds; round++) {
    // Only the latest one's features are read again; those of ten modes are large.
    if (features !== '') rmSync(features, { recursive: true, force: true });
    features = join(folder, `${name}-features-${round}`);
    times.push(await evalOod(sets, checkpoints, { features, scores, csv, tuned }));
    process.stderr.write(`ours, ${name}: ${times.at(-1)?.toFixed(1)} s\n`);
  }
  return { times, scores, features };
}

/** The reference's way for one mode or ensemble, measured on a part; undefined without a Python that has torch. */
async function theirs(name: string, sets: Sets, checkpoints: readonly string[], ownMagnitude: number) {
  const scores = join(folder, `${name}-reference`);
  mkdirSync(scores, { recursive: true });
  const first = sets.out[0] as WrittenSet;
  const reference = await python?.ask<Reference>({
    ...{ checkpoints, width, scores, magnitude: ownMagnitude, regression: REGRESSION, batch: BATCH, k: K, slow },
    ...{ count: measured, sets: { [sets.test.name]: sets.test.images, [first.name]: first.images } },
    train: { images: sets.train.images, labels: sets.train.labels },
  });
  return reference && { ...reference, scores };
}

const seconds = (value: number) => (value < 10 ? value.toFixed(2) : value.toFixed(0));
const duration = (value: number) => (value < 5400 ? `${seconds(value)} s` : `${(value / 3600).toFixed(1)} h`);
const rounded = (times: readonly number[]) => `${duration(median(times))} (${times.map(seconds).join(', ')})`;
const verdict = (ratio: number, target: number) =>
  `**${ratio.toFixed(1)}** (target ${target}: ${ratio >= target ? 'met' : 'MISSED'})`;
const say = (...lines: string[]) => process.stdout.write(`${lines.join('\n')}\n`);

async function one(sets: Sets, checkpoint: string, whole: Whole): Promise<void> {
  const own = await ours('one', sets, [checkpoint], magnitude);
  // Without a step the distances come from stored features; the reference goes the whole way all the same.
  const still = magnitude > 0 ? await ours('one-still', sets, [checkpoint], 0) : own;
  const reference = await theirs('one', sets, [checkpoint], magnitude);
  const [time, timeStill] = [median(own.times), median(still.times)];
  say('', 'One mode', '', `Ours: ${rounded(own.times)}, Mahalanobis with magnitude ${magnitude}.`);
  if (still !== own) say(`With magnitude 0: ${rounded(still.times)}.`);
  if (!reference) return;
  say('', ...referenceRows([{ title: 'one mode', times: 1, reference }], whole));
  const total = scaled(reference, whole);
  say('', `Reference ${duration(total)} / ours ${duration(time)}: ${verdict(total / time, 10)}`);
  if (still !== own) say(`With magnitude 0: ${(total / timeStill).toFixed(1)}`);
  say('', ...agreement(own.scores, reference.scores, memberOf(checkpoint), [sets.test.name, sets.out[0]?.name ?? '']));
}

async function ten(sets: Sets, checkpoints: readonly string[], whole: Whole): Promise<void> {
  const own = await ours('ten', sets, checkpoints, 0);
  const ensembles = subsetsOfSize(checkpoints.map(memberOf), SIZE);
  const time = median(own.times);
  // What a step would add, measured as soon as the features are there.
  const settings = settingsOf(sets, checkpoints, own.features);
  const step = { count: measured, magnitude };
  const [single, together] = [
    await stepTime(settings, { ...step, members: 1 }),
    await stepTime(settings, { ...step, members: SIZE }),
  ];
  const all = ({ set, image }: StepTime) => (1 + sets.out.length) * set + whole.images * image;
  const added = checkpoints.length * all(single) + ensembles.length * all(together);
  const words = ({ set, image }: StepTime) => `${(1000 * image).toFixed(1)} ms an image and ${set.toFixed(2)} s a set`;
  say(
    '',
    `${checkpoints.length} modes and ${ensembles.length} ensembles of ${SIZE}`,
    '',
    `Ours: ${rounded(own.times)}, Mahalanobis with magnitude 0.`,
    `With magnitude ${magnitude} it would be ${duration(time + added)}: ${words(single)} more for a mode, ${words(together)} for an ensemble, measured on ${measured} images.`,
  );
  const [mode, ensemble] = [
    await theirs('mode', sets, checkpoints.slice(0, 1), 0),
    await theirs('ensemble', sets, checkpoints.slice(0, SIZE), 0),
  ];
  if (!mode || !ensemble) return;
  const rows = [
    { title: 'a mode', times: checkpoints.length, reference: mode },
    { title: `an ensemble of ${SIZE}`, times: ensembles.length, reference: ensemble },
  ];
  say('', ...referenceRows(rows, whole));
  const total = rows.reduce((sum, { times, reference }) => sum + times * scaled(reference, whole), 0);
  const withStep = total / (time + added);
  say('', `Reference ${duration(total)} / ours ${duration(time)}: ${verdict(total / time, 40)}`);
  say(`With a step of ${magnitude} in every ensemble's Mahalanobis, ours scaled up: ${withStep.toFixed(1)}`, '');
  const names = [sets.test.name, sets.out[0]?.name ?? ''];
  say(...agreement(own.scores, ensemble.scores, (ensembles[0] as string[]).join('+'), names));
}

/** As eval-ood names a checkpoint that does not say its seed. */
function memberOf(checkpoint: string): string {
  return (checkpoint.split('/').at(-1) as string).replace(/\.pth$/, '');
}

async function main(): Promise<void> {
  const parts = values.part.split(',');
  const unknown = parts.find((part) => part !== 'one' && part !== 'ten');
  if (unknown !== undefined) throw new Error(`--part: expected one, ten or both, found ${unknown}.`);
  const sets = await writeSets(values.data, { in: 2 * perSet, out: perSet, train }, join(folder, 'sets'));
  const modes = await writeModes(parts.includes('ten') ? modeCount : 1, width, join(folder, 'modes'));
  const whole = { images: (2 + sets.out.length) * perSet, train, once: 1 };
  const shown = [sets.test, ...sets.out, sets.train].map(
    ({ name, count, from }) => `${name} ${count}${from < count ? ` (${from}, again and again)` : ''}`,
  );
  const { libtorch, cpuCapability } = getAddon().info();
  say(
    `CIFAR ResNet-18 of width ${width}; ${shown.join(', ')}`,
    `${cpus()[0]?.model.trim()} (${cpuCapability}), ${threads} threads, batches of ${BATCH}, float32; LibTorch ${libtorch}, Node ${process.versions.node}; ${rounds} round(s), median`,
  );
  if (!python) say(`No Python with torch: ${values.python}; ours alone.`);
  if (parts.includes('one')) await one(sets, modes[0] as string, whole);
  if (parts.includes('ten')) await ten(sets, modes, whole);
}

try {
  await main();
} finally {
  python?.end();
  rmSync(folder, { recursive: true, force: true });
}
