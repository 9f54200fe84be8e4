/** What bench/whole.ts says of the reference's way: its table, scaled up, and whether both sides give the same scores. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DETECTORS } from '../lib/detectors/index.js';
import { measure } from '../lib/metrics/index.js';

export interface Phase {
  name: string;
  seconds: number;
  /** How many it was measured on. */
  images: number;
  /** What of there are more: the images of all evaluated sets, the training images, or nothing. */
  of: 'images' | 'train' | 'once';
}

export interface Reference {
  /** By detector. */
  phases: Record<string, Phase[]>;
  torch: string;
}

/** How many there are of each in the whole evaluation. */
export type Whole = Record<Phase['of'], number>;

/** Seconds of the phases, and of the same on everything; phases of one kind are measured together. */
function sums(phases: readonly Phase[], whole: Whole) {
  const ways = new Map<string, { of: Phase['of']; seconds: number; images: number }>();
  for (const { name, seconds, images, of } of phases) {
    // Searching is beside the passes, of the same images.
    const key = name.endsWith(', search') || name === 'index' ? `${of} search` : of;
    const sum = ways.get(key) ?? { of, seconds: 0, images: 0 };
    sum.seconds += seconds;
    sum.images += images;
    ways.set(key, sum);
  }
  return [...ways].map(([key, { of, seconds, images }]) => {
    const factor = of === 'once' ? 1 : whole[of] / images;
    return { key, of, seconds, images, factor, whole: seconds * factor };
  });
}

/** Seconds of the whole evaluation. */
export function scaled({ phases }: Reference, whole: Whole): number {
  return Object.values(phases).reduce(
    (total, own) => total + sums(own, whole).reduce((sum, part) => sum + part.whole, 0),
    0,
  );
}

interface Asked {
  title: string;
  /** So many of these are evaluated. */
  times: number;
  reference: Reference;
}

const WORDS: Record<string, string> = {
  images: 'images',
  train: 'training images',
  once: 'once',
  'images search': 'images, search',
  'train search': 'training images, index',
};

/** What was measured, the factor, and the sum. */
export function referenceRows(asked: readonly Asked[], whole: Whole): string[] {
  const lines = [
    `Reference, PyTorch ${asked[0]?.reference.torch}:`,
    '',
    '| of | detector | measured on | s | factor | whole, s |',
    '|---|---|---|---:|---:|---:|',
  ];
  for (const { title, reference } of asked) {
    for (const [detector, phases] of Object.entries(reference.phases)) {
      const name = DETECTORS.find((one) => one.name === detector)?.title ?? detector;
      for (const { key, of, seconds, images, factor, whole: all } of sums(phases, whole)) {
        const on = of === 'once' ? 'once' : `${images} ${WORDS[key]}`;
        lines.push(`| ${title} | ${name} | ${on} | ${seconds.toFixed(2)} | ${factor.toFixed(2)} | ${all.toFixed(1)} |`);
      }
    }
    lines.push(`| ${title} | sum | | | | ${scaled(reference, whole).toFixed(0)} |`);
  }
  const total = asked.reduce((sum, { times, reference }) => sum + times * scaled(reference, whole), 0);
  const terms = asked.map(({ times, reference }) => `${times} × ${scaled(reference, whole).toFixed(0)} s`);
  if (asked.length > 1) lines.push('', `${terms.join(' + ')} = ${total.toFixed(0)} s`);
  return lines;
}

/** float32 of a .npy file of one dimension, the first `count`. */
function readScores(path: string, count?: number): Float32Array {
  const file = readFileSync(path);
  const begin = 10 + file.readUInt16LE(8);
  const all = new Float32Array(Uint8Array.from(file.subarray(begin)).buffer);
  return count === undefined ? all : all.subarray(0, count);
}

/** FPR95s of two ways that do the same differ by rounding alone: that of MSP at most by so much. */
const CLOSE = 1e-3;

/**
 * Both sides' scores of the images that the reference was measured on.
 *
 * @param sets the in-distribution set and an OoD set
 */
export function agreement(own: string, reference: string, members: string, sets: readonly string[]): string[] {
  const lines = [
    'The same images on both sides:',
    '',
    '| detector | images | FPR95 | reference | difference of scores, of their spread |',
    '|---|---:|---:|---:|---:|',
  ];
  let differs = false;
  for (const { name, title } of DETECTORS) {
    const theirs = sets.map((set) => readScores(join(reference, name, `${set}.npy`)));
    const ours = sets.map((set, i) => readScores(join(own, name, members, `${set}.npy`), theirs[i]?.length));
    const [a, b] = [fpr95(ours, sets), fpr95(theirs, sets)];
    if (name === 'msp' && !(Math.abs(a - b) <= CLOSE)) differs = true;
    const images = theirs.reduce((sum, { length }) => sum + length, 0);
    lines.push(
      `| ${title} | ${images} | ${a.toFixed(4)} | ${b.toFixed(4)} | ${relative(ours, theirs).toExponential(1)} |`,
    );
  }
  lines.push('', `FPR95 of MSP: ${differs ? 'DIFFERS' : 'the same'} within ${CLOSE}.`);
  if (differs) process.exitCode = 1;
  return lines;
}

function fpr95([inScores, outScores]: readonly Float32Array[], names: readonly string[]): number {
  const [a, b] = [Float64Array.from(inScores ?? []), Float64Array.from(outScores ?? [])];
  return measure(a, b, { convention: 'reference', names: { in: names[0] ?? '', out: names[1] ?? '' } }).fpr95;
}

/** The largest difference over the distance from the lowest to the highest score. */
function relative(ours: readonly Float32Array[], theirs: readonly Float32Array[]): number {
  const [a, b] = [ours.flatMap((set) => [...set]), theirs.flatMap((set) => [...set])];
  const spread = Math.max(...b) - Math.min(...b);
  return Math.max(...a.map((score, i) => Math.abs(score - (b[i] as number)))) / spread;
}
