/** An evaluation on disk: everything but the scores as JSON, and beside it the scores, so that a report can be made of it later. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ModeEnsembleError } from '../config/errors.js';
import { ioError, writeFileAtomic } from '../config/files.js';
import { openSafetensors, readFloat64 } from '../features/safetensors.js';
import { writeVectors } from '../features/write-safetensors.js';
import type { SkippedImages } from './results.js';
import type { Evaluation, ScoreSet } from './types.js';

export interface KeptEvaluation {
  evaluation: Evaluation;
  images: SkippedImages;
}

function paths(folder: string, key: string) {
  return { json: join(folder, `evaluation-${key}.json`), scores: join(folder, `evaluation-${key}.safetensors`) };
}

export function hasEvaluation(folder: string, key: string): boolean {
  const { json, scores } = paths(folder, key);
  return existsSync(json) && existsSync(scores);
}

/** The scores first: where the JSON is there, all is. */
export async function writeEvaluation(folder: string, key: string, kept: KeptEvaluation): Promise<void> {
  const { json, scores: path } = paths(folder, key);
  const { scores, ...evaluation } = kept.evaluation;
  const { out } = evaluation;
  const vectors = scores.flatMap((set, i): [string, Float64Array][] => [
    [`${i}.in`, set.in],
    ...out.map((name, k): [string, Float64Array] => [`${i}.${k}`, set.out[name] as Float64Array]),
  ]);
  await writeVectors(path, new Map(vectors), { key });
  const sets = scores.map(({ detector, members }) => ({ detector, members }));
  await writeFileAtomic(json, `${JSON.stringify({ key, evaluation, sets, images: kept.images })}\n`);
}

/** @throws ModeEnsembleError E_DATA where it is damaged, E_IO */
export async function readEvaluation(folder: string, key: string): Promise<KeptEvaluation> {
  const { json, scores: path } = paths(folder, key);
  let kept: {
    key: string;
    evaluation: Evaluation;
    sets: Pick<ScoreSet, 'detector' | 'members'>[];
    images: SkippedImages;
  };
  try {
    kept = JSON.parse(await readFile(json, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new ModeEnsembleError('E_DATA', `${json} is no JSON (${error.message}); remove it, and it is made again.`);
    }
    throw ioError(error, json, 'read');
  }
  const file = await openSafetensors(path);
  const scores: ScoreSet[] = [];
  for (const [i, { detector, members }] of kept.sets.entries()) {
    const out: Record<string, Float64Array> = {};
    for (const [k, name] of kept.evaluation.out.entries()) out[name] = await readFloat64(file, `${i}.${k}`, 1);
    scores.push({ detector, members, in: await readFloat64(file, `${i}.in`, 1), out });
  }
  return { evaluation: { ...kept.evaluation, scores }, images: kept.images };
}
