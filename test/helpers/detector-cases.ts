/** The cases of test/fixtures/detectors, made again: images, checkpoints, and extraction settings as a run has them. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DataSet, openData } from '../../lib/data/open.js';
import { type Pass, PLAIN } from '../../lib/features/pass.js';
import { FeatureStore } from '../../lib/features/store.js';
import { resolveArch } from '../../lib/modes/arch.js';
import type { ExtractSettings } from '../../lib/run/extract.js';
import { npy } from './arrays.js';
import { initWeights, sha256 } from './networks.js';
import { type SceneSet, scenes, writeScaled } from './scenes.js';

export type SetName = 'train' | 'test' | 'out';

export interface DetectorCase {
  arch: string;
  width: number;
  classes: number;
  seeds: number[];
  scale: { norms: number; head: number };
  size: number;
  mean: [number, number, number];
  std: [number, number, number];
  sets: Record<SetName, SceneSet & { sha256: string }>;
  parameters: { k: number; epsilon: number; temperature: number; step: number; adversarial: number };
  /** Members joined by `+` → quantity → set → numbers, row-major. */
  members: Record<string, Record<string, Partial<Record<SetName, number[]>>>>;
  /** Of each quantity: how far the oracle in float32 is from itself in float64, relative, and to the largest number. */
  roundoff: Record<string, [number, number]>;
}

const FOLDER = 'test/fixtures/detectors';

export function detectorCases(): Map<string, DetectorCase> {
  const names = readdirSync(FOLDER).sort();
  return new Map(
    names.map((name) => [name.replace('.json', ''), JSON.parse(readFileSync(join(FOLDER, name), 'utf8'))]),
  );
}

/** The sets as .npy files with their labels, opened. */
async function openSet(folder: string, name: SetName, { sets, size }: DetectorCase): Promise<DataSet> {
  const set = sets[name];
  const pixels = scenes(set, size);
  assert.equal(sha256(pixels), set.sha256, `the images of ${name} are those that the oracle saw`);
  const labels = Int32Array.from({ length: set.count }, (_, i) => i % 10);
  writeFileSync(join(folder, `${name}.npy`), npy('|u1', `(${set.count}, ${size}, ${size}, 3)`, pixels));
  writeFileSync(join(folder, `${name}-labels.npy`), npy('<i4', `(${set.count},)`, labels));
  return openData(`${name}=npy:${join(folder, `${name}.npy`)}`);
}

/** Makes the case's files in the folder. The sets are to be disposed of. */
export async function prepareCase(
  folder: string,
  given: DetectorCase,
  passes: readonly Pass[] = [PLAIN],
): Promise<ExtractSettings> {
  const { seeds, scale, size, mean, std, classes } = given;
  const arch = resolveArch(given.arch, given.width);
  const transform = { resize: size, fit: 'both', filter: 'bilinear', crop: size, mean, std } as const;
  const members = [];
  for (const seed of seeds) {
    const checkpoint = join(folder, `${seed}.safetensors`);
    const options = { name: arch.name, width: arch.width, classes, dropout: 0 };
    writeScaled(checkpoint, await initWeights(options, seed, checkpoint), scale);
    members.push({
      name: String(seed),
      checkpoint,
      weightsHash: sha256(readFileSync(checkpoint)),
      arch,
      transform,
      classes,
    });
  }
  mkdirSync(join(folder, 'features'));
  const [train, test, out] = await Promise.all(
    (['train', 'test', 'out'] as const).map((n) => openSet(folder, n, given)),
  );
  return {
    members,
    sets: { train, test: test as DataSet, out: [out as DataSet] },
    passes,
    store: new FeatureStore(join(folder, 'features')),
    batchSize: 16,
    precision: 'float32',
    // One thread: passes this small gain little from more, and on a busy machine threads that wait for each other lose all.
    threads: 1,
    workers: 1,
  };
}
