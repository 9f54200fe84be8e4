/**
 * All seven detectors on one ResNet-50, beside a Python script that does it the reference's way (each detector runs the
 * network anew; bench/detectors_reference.py), on the same images, in the same run:
 *
 *   npm run bench:detectors -- [--data FOLDER] [--images 200] [--train 500] [--magnitude 0.0014]
 *     [--classes 10] [--detectors msp,odin,energy,gradnorm,knn,mahalanobis,rankfeat] [--rounds 2] [--python python3]
 *     [--python-images 40] [--python-train 100]
 *
 * `--data`: the folder with imagenette/, dtd/ and places/ (default: the test data beside the project). The network has freshly
 * drawn weights and ten classes, those of Imagenette; with another number of `--classes` images are dealt out to so many of them, the
 * training images again and again where there are fewer. Prints passes and seconds a detector, and the ratios. Without a Python
 * that has torch, Pillow, scikit-learn and faiss, ours alone. With `--python-images` and `--python-train` the script gets the first
 * images of each set alone, and each of its loops counts as many times longer as the whole set has more images (the table says so);
 * what it does once (loading) is not multiplied.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { DETECTORS } from '../lib/detectors/index.js';
import { getAddon } from '../lib/native/load.js';
import { evaluateOod, type OodSettings } from '../lib/run/run-checkpoints.js';
import { tuneMahalanobis } from '../lib/run/tune.js';
import { testData } from '../test/helpers/data.js';

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    images: { type: 'string', default: '200' },
    train: { type: 'string', default: '500' },
    magnitude: { type: 'string', default: '0.0014' },
    k: { type: 'string', default: '50' },
    classes: { type: 'string', default: '10' },
    detectors: { type: 'string', default: 'msp,odin,energy,gradnorm,knn,mahalanobis,rankfeat' },
    rounds: { type: 'string', default: '2' },
    python: { type: 'string', default: 'python3' },
    'python-images': { type: 'string' },
    'python-train': { type: 'string' },
    threads: { type: 'string', default: String(availableParallelism()) },
  },
});
const data = values.data ?? testData() ?? 'data';
const images = Number(values.images);
const threads = Number(values.threads);
const magnitude = Number(values.magnitude);
const k = Number(values.k);
const rounds = Number(values.rounds);
const trainImages = Number(values.train);
const classes = Number(values.classes);
const wanted = values.detectors.split(',');
/** Images that the Python script gets of each evaluated set and of the training set. */
const PYTHON = {
  images: Number(values['python-images'] ?? images),
  train: Number(values['python-train'] ?? trainImages),
};
const BATCH = 32;
const addon = getAddon();
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-bench-'));

const median = (of: readonly number[]): number => [...of].sort((a, b) => a - b)[of.length >> 1] as number;

/** Every image below a folder, as paths relative to it, sorted. */
function imagesBelow(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.jpe?g$/i.test(name))
    .sort();
}

/** A folder with `count` of the images, spread evenly, so that every class is there. */
function pick(source: string, name: string, count: number): string {
  const root = join(data, source);
  const all = imagesBelow(root);
  if (all.length < count) throw new Error(`${root}: expected at least ${count} images, found ${all.length}.`);
  const to = join(folder, name);
  for (let i = 0; i < count; i++) {
    const file = all[Math.floor((i * all.length) / count)] as string;
    mkdirSync(dirname(join(to, file)), { recursive: true });
    try {
      linkSync(join(root, file), join(to, file));
    } catch {
      copyFileSync(join(root, file), join(to, file));
    }
  }
  return to;
}

/** A folder of so many classes, to which `count` of the images are dealt out one after the other. */
function deal(source: string, name: string, count: number): string {
  const root = join(data, source);
  const all = imagesBelow(root);
  const classOf = (i: number) => join(folder, name, `class-${String(i % classes).padStart(5, '0')}`);
  for (let i = 0; i < classes; i++) mkdirSync(classOf(i), { recursive: true });
  for (let i = 0; i < count; i++) copyFileSync(join(root, all[i % all.length] as string), join(classOf(i), `${i}.jpg`));
  return join(folder, name);
}

const seconds = async (work: () => Promise<unknown>): Promise<number> => {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
};

/** One row of the table. */
interface Row {
  title: string;
  detectors: NonNullable<OodSettings['detectors']>;
  /** Of the reference script; their times are added up. */
  python: readonly string[];
  /** Beyond the plain pass, in words. */
  passes: string;
  /** Asked of us: at least so many times faster. */
  target?: number;
}

const MAHALANOBIS = [{ mahalanobis: { magnitude } }, { mahalanobis: { magnitude: 0 } }];
const KNN: Row = { title: 'kNN', detectors: [{ knn: { k } }], python: ['knn'], passes: '0' };
/** Detectors whose passes are there once the plain one is, and Mahalanobis, whose steps are no stored pass. */
const ROWS: readonly Row[] = [
  { title: 'MSP', detectors: ['msp'], python: ['msp'], passes: '0' },
  { title: 'ODIN, ε = 0', detectors: ['odin'], python: ['odin'], passes: '0' },
  { title: 'Energy', detectors: ['energy'], python: ['energy'], passes: '0' },
  { title: 'GradNorm', detectors: ['gradnorm'], python: ['gradnorm'], passes: '0', target: 60 },
  KNN,
  {
    title: `Mahalanobis, ${magnitude} and 0`,
    detectors: MAHALANOBIS,
    python: [`mahalanobis-${magnitude}`, 'mahalanobis-0'],
    passes: '1 with graph; 5 backward and 5 forward, each of its stage',
    target: 5,
  },
];
/** Its logits are made in the plain pass of the same images, so its cost is what that one takes longer. */
const RANKFEAT: Row = {
  title: 'RankFeat',
  detectors: ['msp', 'rankfeat'],
  python: ['rankfeat'],
  passes: 'last stage, head twice',
  target: 5,
};
const ALL = ['msp', 'odin', 'energy', ...MAHALANOBIS, 'gradnorm', 'rankfeat', { knn: { k } }].filter((detector) => {
  return wanted.includes(typeof detector === 'string' ? detector : (Object.keys(detector)[0] as string));
});
const unknown = wanted.find((name) => !DETECTORS.some((detector) => detector.name === name));
if (unknown !== undefined) {
  throw new Error(`--detectors: expected some of ${DETECTORS.map(({ name }) => name).join(', ')}, found ${unknown}.`);
}
const isWanted = ({ python: [name = ''] }: Row) => wanted.includes(name.replace(/-.*/, ''));

interface Phase {
  seconds: number;
  images: number;
  passes: { forward: number; backward: number };
}

interface Reference {
  seconds: number;
  detectors: Record<string, { seconds: number; phases: Record<string, Phase> }>;
}

async function main(): Promise<void> {
  const withClasses = classes === 10 ? pick : deal;
  const inside = withClasses('imagenette/val', 'val', images);
  const out = [pick('dtd/images', 'dtd', images), pick('places/all', 'places', images)];
  const train = withClasses('imagenette/train', 'train', trainImages);
  const arch = { name: 'resnet50', width: 64, classes, dropout: 0 };
  const drawn = join(folder, 'drawn.safetensors');
  const checkpoint = join(folder, 'resnet50.pth');
  const quiet = () => {};
  await addon.initWeights({ arch, seed: 1, output: drawn, metadata: {} }, quiet).done;
  const format = 'torch' as const;
  const conversion = { input: drawn, output: checkpoint, format, arch, float32: true, dictionary: '', metadata: {} };
  await addon.convert(conversion, quiet).done;

  const settings = (features: string, detectors: OodSettings['detectors']): OodSettings => ({
    checkpoints: [checkpoint],
    arch: 'resnet50',
    in: `folder:${inside}`,
    out: out.map((path) => `folder:${path}`),
    train: `folder:${train}`,
    features: join(folder, features),
    batchSize: BATCH,
    precision: 'float32',
    threads,
    workers: threads,
    ensembles: 'all',
    detectors,
  });
  const run = (features: string, detectors: NonNullable<OodSettings['detectors']>) =>
    seconds(() => evaluateOod({ ...settings(features, detectors), tuned }));
  // Magnitude and regression are tuned once for a mode; the reference takes them from a table.
  const tuned = join(folder, 'tuned.json');
  const { detectors: _, ensembles: __, out: ___, ...tuning } = settings('tuning', []);
  const tune = await seconds(() => tuneMahalanobis({ ...tuning, magnitudes: [magnitude, 0], save: tuned }));
  process.stderr.write(`tuned in ${tune.toFixed(0)} s\n`);
  const plains: number[] = [];
  const rank1s: number[] = [];
  for (let round = 0; round < rounds; round++) {
    plains.push(await run(`plain-${round}`, ['msp']));
    if (isWanted(RANKFEAT)) rank1s.push(await run(`rank1-${round}`, RANKFEAT.detectors));
  }
  const [plain, rank1] = [median(plains), median(rank1s)];
  process.stderr.write(`plain ${plains.join(', ')}; with rank 1 ${rank1s.join(', ')}\n`);
  // kNN is the first that reads the training images; its own time is that of a second call.
  const fit = await run('plain-0', KNN.detectors);
  const ours = new Map<Row, number>();
  for (const row of ROWS.filter(isWanted)) ours.set(row, await run('plain-0', row.detectors));
  if (isWanted(RANKFEAT)) ours.set(RANKFEAT, rank1 - plain);
  process.stderr.write(`${[...ours].map(([row, own]) => `${row.title} ${own.toFixed(2)}`).join('; ')}\n`);
  const all = await run('all', ALL);
  process.stderr.write(`all ${all.toFixed(1)} s\n`);

  const reference = runReference(checkpoint, inside, out, train);
  print({ plain, fit, all, ours, reference });
}

function runReference(checkpoint: string, inside: string, out: string[], train: string): Reference | undefined {
  const found = spawnSync(
    values.python,
    [
      'bench/detectors_reference.py',
      ...['--checkpoint', checkpoint, '--in', `in=${inside}`, '--train', train],
      ...['--out', ...out, '--images', String(PYTHON.images), '--limit', String(PYTHON.train)],
      ...['--detectors', ...wanted],
      ...[
        '--magnitude',
        String(magnitude),
        '--k',
        String(k),
        '--batch-size',
        String(BATCH),
        '--threads',
        String(threads),
      ],
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  );
  return found.status === 0 ? scaled(JSON.parse(found.stdout) as Reference) : undefined;
}

/** What the whole sets would have taken: all of the script's loops go over images one after the other. */
function scaled(reference: Reference): Reference {
  const more = (phase: string) =>
    phase === 'train' || phase === 'index' ? trainImages / PYTHON.train : images / PYTHON.images;
  let { seconds } = reference;
  for (const detector of Object.values(reference.detectors)) {
    for (const [name, phase] of Object.entries(detector.phases)) {
      const whole = phase.seconds * more(name);
      seconds += whole - phase.seconds;
      detector.seconds += whole - phase.seconds;
      phase.seconds = whole;
    }
  }
  return { ...reference, seconds };
}

interface Times {
  plain: number;
  fit: number;
  all: number;
  ours: Map<Row, number>;
  reference: Reference | undefined;
}

/** Seconds and passes an image of the reference's detectors over the evaluated sets. */
function theirs(reference: Reference | undefined, { python }: Row) {
  const sum = { seconds: 0, forward: 0, backward: 0 };
  for (const name of python) {
    // Passes of the training images are told apart: both sides make them.
    const phases = Object.entries(reference?.detectors[name]?.phases ?? {}).filter(([phase]) => phase !== 'train');
    const images = phases.reduce((most, [, phase]) => Math.max(most, phase.images), 1);
    for (const [phase, { seconds, images: of, passes }] of phases) {
      sum.seconds += seconds;
      if (phase.includes('search') || phase === 'index' || of !== images) continue;
      const sets = phases.filter(([one]) => !one.includes('search') && one !== 'index').length;
      sum.forward += passes.forward / sets;
      sum.backward += passes.backward / sets;
    }
  }
  return sum;
}

function print({ plain, fit, all, ours, reference }: Times): void {
  const lines = [
    `ResNet-50, ${classes} classes, ${images} InD + 2 × ${images} OoD images, ${trainImages} training images; ${cpus()[0]?.model.trim()}, ${threads} threads, Node ${process.versions.node}`,
    ...(reference && (PYTHON.images < images || PYTHON.train < trainImages)
      ? [
          `The reference measured on ${PYTHON.images} images of each set and ${PYTHON.train} training images, scaled up.`,
        ]
      : []),
    '',
    `Plain pass of the evaluated sets, once for all detectors: ${plain.toFixed(2)} s; of the training images: ${fit.toFixed(2)} s.`,
    '',
    '| detector | ours: passes beyond the plain one | s | with the plain one, s | reference: forward + backward | s | ratio | with the plain one | target |',
    '|---|---|---:|---:|---:|---:|---:|---:|---:|',
  ];
  for (const [row, own] of ours) {
    const { seconds: other, forward, backward } = theirs(reference, row);
    const ratio = (by: number) => (reference ? (other / by).toFixed(1) : '–');
    const found = reference ? `${forward.toFixed(0)} + ${backward.toFixed(0)} | ${other.toFixed(1)}` : '– | –';
    const times = `${own.toFixed(2)} | ${(own + plain).toFixed(2)} | ${found}`;
    lines.push(
      `| ${row.title} | ${row.passes} | ${times} | ${ratio(own)} | ${ratio(own + plain)} | ${row.target ?? ''} |`,
    );
  }
  const total = reference ? `${reference.seconds.toFixed(1)} | | ${(reference.seconds / all).toFixed(1)}` : '– | | –';
  lines.push(`| all in one call, training images and all | | | ${all.toFixed(1)} | | ${total} | 10 |`);
  process.stdout.write(`${lines.join('\n')}\n`);
}

try {
  await main();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
