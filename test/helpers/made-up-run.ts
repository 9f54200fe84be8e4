/** A finished run that nobody has trained: scores are drawn, measured as any others, and written as a run writes them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DETECTORS } from '../../lib/detectors/index.js';
import { MEASURE_NAMES, measure } from '../../lib/metrics/index.js';
import { curvesOf } from '../../lib/report/index.js';
import { curvesJson } from '../../lib/run/curves-file.js';
import { writeResults } from '../../lib/run/results.js';
import type { Evaluation, ResultRow, ScoreSet } from '../../lib/run/types.js';

export interface MadeUp {
  title?: string;
  in?: string;
  out?: readonly string[];
  modes?: number;
  detectors?: readonly string[];
  /** Images of the InD set and of each OoD set. */
  images?: readonly [number, number];
  /** Every pair of modes is an ensemble too. */
  hasPairs?: boolean;
  /** Rows have intervals of ± 2 points. */
  hasIntervals?: boolean;
  epochs?: number;
}

/** Normal numbers from a seed: mulberry32 and Box–Muller. */
function normals(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** Modes see the same images: their scores share what an image has of itself, so that ensembles gain as they do in earnest. */
export function madeUpEvaluation(settings: MadeUp = {}): Evaluation {
  const {
    in: inName = 'CIFAR-10',
    out = ['SVHN', 'LSUN'],
    modes = 3,
    hasPairs = false,
    hasIntervals = false,
  } = settings;
  const { detectors = DETECTORS.map(({ name }) => name), images: [nIn, nOut] = [200, 100] } = settings;
  const names = Array.from({ length: modes }, (_, i) => String(1000 + 100 * i));
  const pairs = hasPairs ? names.flatMap((a, i) => names.slice(i + 1).map((b) => [a, b])) : [];
  const ensembles = [...pairs, ...(modes > (hasPairs ? 2 : 1) ? [names] : [])];
  const rows: ResultRow[] = [];
  const scores: ScoreSet[] = [];
  const own = { in: inName, arch: 'cifar-resnet18', n_in: nIn, n_out: nOut };
  for (const [d, detector] of detectors.entries()) {
    const draw = (set: number, n: number, shift: number) => {
      const image = normals(1 + 31 * d + 1009 * set);
      const common = Array.from({ length: n }, () => image());
      return names.map((_, m) => {
        const noise = normals(7 + 31 * d + 1009 * set + 65537 * (m + 1));
        return Float64Array.from(common, (value) => shift + 0.15 * (m % 4) * shift + value + 0.8 * noise());
      });
    };
    const sets = [draw(0, nIn, 0), ...out.map((_, i) => draw(i + 1, nOut, -0.8 - 0.35 * i - 0.1 * d))];
    const fused = (members: readonly string[]) =>
      sets.map((of) => {
        const vectors = members.map((member) => of[names.indexOf(member)] as Float64Array);
        return (vectors[0] as Float64Array).map(
          (_, i) => vectors.reduce((sum, v) => sum + (v[i] as number), 0) / vectors.length,
        );
      });
    for (const members of [...names.map((name) => [name]), ...ensembles]) {
      const [inScores = new Float64Array(0), ...outs] = fused(members);
      if (members.length === 1 || members === names) {
        scores.push({
          detector,
          members,
          in: inScores,
          out: Object.fromEntries(out.map((name, i) => [name, outs[i] as Float64Array])),
        });
      }
      for (const [i, name] of out.entries()) {
        const { warnings: _, ...found } = measure(inScores, outs[i] as Float64Array);
        const kind = members.length === 1 ? ('mode' as const) : ('ensemble' as const);
        const ends = MEASURE_NAMES.flatMap((metric) => [
          [`${metric}_lo`, Math.max(0, found[metric] - 0.02)],
          [`${metric}_hi`, Math.min(1, found[metric] + 0.02)],
        ]);
        rows.push({
          ...{ ...own, out: name, detector, kind, members: members.join('+') },
          ...found,
          ...(hasIntervals ? Object.fromEntries(ends) : {}),
        });
      }
    }
  }
  const agreement = [inName, ...out].map((set, i) => ({
    set,
    modes: names,
    share: names.map((_, a) => names.map((_b, b) => (a === b ? 1 : 0.9 - 0.08 * i - 0.01 * ((a + b) % 5)))),
  }));
  return {
    ...{ convention: 'reference', fusion: 'paper', in: inName, out: [...out], arch: 'cifar-resnet18' },
    detectors: detectors.map((name) => ({ name, parameters: {} })),
    accuracy: [
      ...names.map((members, i) => ({ kind: 'mode' as const, members, n: nIn, top1: 0.93 + 0.002 * i, top5: 0.99 })),
      ...ensembles.map((of) => ({ kind: 'ensemble' as const, members: of.join('+'), n: nIn, top1: 0.95, top5: 0.995 })),
    ],
    ...(hasIntervals ? { intervals: { resamples: 1000, level: 0.95, seed: 0 } } : {}),
    ...{ rows, scores, agreement: modes > 1 ? agreement : [], warnings: [] },
  };
}

/** Writes all that a run leaves but networks and features. */
export async function writeMadeUpRun(folder: string, settings: MadeUp = {}): Promise<Evaluation> {
  const evaluation = madeUpEvaluation(settings);
  const { text } = await writeResults(folder, evaluation);
  writeFileSync(join(folder, 'curves.json'), curvesJson(curvesOf(evaluation), text));
  const seeds = Array.from({ length: settings.modes ?? 3 }, (_, i) => 1000 + 100 * i);
  const modes = seeds.map((seed) => ({
    seed,
    checkpoint: `modes/cifar-resnet18/seed-${seed}/checkpoint.safetensors`,
    sha256: seed.toString(16).padStart(64, '0'),
  }));
  const about = (count: number) => ({ count, fingerprint: 'f'.repeat(64) });
  const record = {
    experiment: { name: settings.title ?? 'Made up', seeds, train: { epochs: settings.epochs ?? 3 } },
    versions: { 'mode-ensemble': '0.1.0', node: '20.0.0' },
    machine: { platform: 'linux', arch: 'x64' },
    data: { in: { name: evaluation.in, test: about(1) }, out: evaluation.out.map((name) => ({ name, ...about(1) })) },
    modes,
  };
  writeFileSync(join(folder, 'experiment.json'), JSON.stringify(record));
  for (const [m, { checkpoint }] of modes.entries()) {
    const path = join(folder, checkpoint, '..');
    mkdirSync(path, { recursive: true });
    const noise = normals(m + 1);
    const lines = Array.from({ length: settings.epochs ?? 3 }, (_, i) => {
      const point = { type: 'epoch', epoch: i + 1, loss: 2 / (i + 1) + 0.01 * noise(), accuracy: 94 - 60 / (i + 2) };
      return `${JSON.stringify({ ...point, seconds: 12 })}\n`;
    });
    writeFileSync(join(path, 'log.jsonl'), lines.join(''));
  }
  return evaluation;
}
