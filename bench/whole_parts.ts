/** What bench/whole.ts sets both sides: images, modes, the parameters of Mahalanobis. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DataSet, openData } from '../lib/data/open.js';
import { findSuite } from '../lib/data/suite.js';
import { getSuite } from '../lib/data/suites.js';
import { getDetector, resolveParameters } from '../lib/detectors/index.js';
import { adversarialOf } from '../lib/detectors/mahalanobis.js';
import { FeatureFile } from '../lib/features/index.js';
import { PLAIN, passId } from '../lib/features/pass.js';
import { resolveArch } from '../lib/modes/arch.js';
import { getAddon } from '../lib/native/load.js';
import { extractFeatures } from '../lib/run/extract.js';
import { networksOf, type StoredNetworks } from '../lib/run/networks.js';
import { extractSettings, type OodSettings, openDataSets, prepare } from '../lib/run/run-checkpoints.js';
import { tuningKey, writeTuning } from '../lib/run/tuning-file.js';
import { npy } from '../test/helpers/arrays.js';

export const ARCH = 'cifar-resnet18';
const OUT = 5;
const { transform } = resolveArch(ARCH);
const quiet = () => {};

/** A set as both sides read it: images that were brought to 32 × 32 once, uint8 [N, 32, 32, 3], and labels, int64. */
export interface WrittenSet {
  name: string;
  images: string;
  labels: string;
  count: number;
  /** Images of the set it was taken from; where these are fewer, they come again and again. */
  from: number;
}

export interface Counts {
  in: number;
  out: number;
  train: number;
}

/** CIFAR-10 and the OoD sets that are in the folder, or built-in data. */
export async function writeSets(data: string | undefined, counts: Counts, folder: string) {
  mkdirSync(folder, { recursive: true });
  const { test, train, out } = data === undefined ? builtin() : suite(data);
  const write = async (spec: string, name: string, count: number): Promise<WrittenSet> => {
    using set = await openData(spec, { root: data, allowWhole: true });
    return writeSet(set, name, count, folder);
  };
  return {
    test: await write(test, 'InD', counts.in),
    train: await write(train, 'train', counts.train),
    out: await Promise.all(out.map(([name, spec]) => write(spec, name, counts.out))),
  };
}

function builtin() {
  const drawn = getAddon()
    .info()
    .builtinSets.filter((name) => name !== 'shapes')
    .map((name): [string, string] => [name, `builtin:${name}`]);
  return {
    test: 'builtin:shapes?split=test',
    train: 'builtin:shapes?split=train',
    out: [...drawn, ['noise', 'made-up:32/10/10000?split=train'] as [string, string]].slice(0, OUT),
  };
}

function suite(data: string) {
  const found = findSuite(getSuite('cifar10'), data);
  const text = ({ spec, title }: (typeof found.out)[number]) => {
    if (!spec) throw new Error(`--data: expected ${title} in ${data}, found none.`);
    return `${spec.reader}:${spec.path}${spec.split ? `?split=${spec.split}` : ''}`;
  };
  const out = found.out.filter(({ spec }) => spec).map((set): [string, string] => [set.title, text(set)]);
  return { test: text(found.test), train: text(found.train), out };
}

/** Steps of this size visit every image of a set, and soon every class, whether classes come one after the other or in turn. */
function spreadStep(count: number): number {
  const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));
  let step = Math.max(1, Math.floor(count * 0.618));
  while (divisor(step, count) !== 1) step++;
  return step;
}

function writeSet(set: DataSet, name: string, count: number, folder: string): WrittenSet {
  const addon = getAddon();
  const size = transform.crop ** 2 * 3;
  const pixels = new Uint8Array(count * size);
  const labels = new BigInt64Array(count);
  const step = spreadStep(set.count);
  for (let i = 0; i < count; i++) {
    const from = (i * step) % set.count;
    const image = addon.readImage(set.handle, from, transform);
    pixels.set(image.pixels, i * size);
    labels[i] = BigInt(image.label);
  }
  const at = (what: string) => join(folder, `${name}-${what}.npy`);
  writeFileSync(at('images'), npy('|u1', `(${count}, ${transform.crop}, ${transform.crop}, 3)`, pixels));
  writeFileSync(at('labels'), npy('<i8', `(${count},)`, labels));
  return { name, images: at('images'), labels: at('labels'), count, from: set.count };
}

/** Modes with freshly drawn weights, as files that both sides read. */
export async function writeModes(count: number, width: number, folder: string): Promise<string[]> {
  const addon = getAddon();
  mkdirSync(folder, { recursive: true });
  const arch = { name: ARCH, width, classes: 10, dropout: 0 };
  const drawn = join(folder, 'drawn.safetensors');
  const modes: string[] = [];
  for (let mode = 0; mode < count; mode++) {
    const output = join(folder, `seed-${1000 + 100 * mode}.pth`);
    await addon.initWeights({ arch, seed: 1000 + 100 * mode, output: drawn, metadata: {} }, quiet).done;
    const format = 'torch' as const;
    const about = { input: drawn, output, format, arch, float32: true, dictionary: '', metadata: {} };
    await addon.convert(about, quiet).done;
    modes.push(output);
  }
  return modes;
}

/** What stands in for the tuned regression, on both sides: weights small enough that no probability is 0 or 1. */
export const REGRESSION = { coefficients: [-2e-4, -2e-4, -2e-4, -2e-4, -2e-4], intercept: 0 };

async function withNetworks<Result>(
  settings: OodSettings,
  work: (
    networks: StoredNetworks,
    names: readonly string[],
    extraction: ReturnType<typeof extractSettings>,
  ) => Promise<Result>,
): Promise<Result> {
  const { modes, sets } = await prepare(settings, true, {});
  using opened = await openDataSets(settings, sets, true, {});
  const extraction = extractSettings(settings, modes, opened, [PLAIN]);
  const names = modes.members.map(({ name }) => name);
  // Awaited here: what is opened goes when this returns.
  return await work(networksOf(extraction, {}), names, extraction);
}

const adversarial = adversarialOf(resolveParameters(getDetector('mahalanobis'), {}, 'cifar10'));

/**
 * A file of parameters as `tune mahalanobis` writes it, without tuning: magnitude and regression are the same for all modes
 * and ensembles. Both sides get them given, as the reference takes them from a table.
 */
export async function writeGiven(
  settings: OodSettings,
  subsets: (names: readonly string[]) => string[][],
  magnitude: number,
  path: string,
): Promise<void> {
  await withNetworks(settings, async (networks, names) => {
    const rest = { fpr95: 0.95, auroc: 0.5, c: 1, converged: true };
    const records = subsets(names).map((members) => {
      const source = networks.tuningSource(members, adversarial);
      const fit = { magnitude, ...rest, ...REGRESSION };
      const images: [number, number] = [1, 1];
      return { key: tuningKey(source), source, members, images, magnitudes: [fit], best: magnitude };
    });
    await writeTuning(path, records);
  });
}

/** What the networks take to let images take a step. */
export interface StepTime {
  /** Seconds of each set, however few images it has: networks are opened and prepared. */
  set: number;
  /** Seconds of an image. */
  image: number;
}

/**
 * Of Mahalanobis for the first `members` modes together, from the first `count` in-distribution images and from a few of them.
 * Features are in the store already.
 */
export async function stepTime(
  settings: OodSettings,
  { members, count, magnitude }: { members: number; count: number; magnitude: number },
): Promise<StepTime> {
  const few = Math.ceil(count / 16);
  return withNetworks(settings, async (networks, names, extraction) => {
    const features = await extractFeatures(extraction);
    const train = features.members.slice(0, members).map((member) => member.train?.[passId(PLAIN)] as string);
    const files = await Promise.all(train.map((path) => FeatureFile.open(path)));
    const gaussians = await networks.gaussians(names.slice(0, members), files, {});
    const request = { gaussians, set: extraction.sets.test.name, first: 0, magnitudes: [magnitude], adversarial: null };
    const time = async (images: number) => {
      const start = performance.now();
      await networks.stageScores({ ...request, count: images }, {});
      return (performance.now() - start) / 1000;
    };
    const [small, large] = [await time(few), await time(count)];
    const image = Math.max(0, large - small) / (count - few);
    return { set: Math.max(0, small - few * image), image };
  });
}
