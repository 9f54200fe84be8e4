/** What a run calls the checkpoints and data sets that feature files know by hashes alone. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { UsedContent } from '../features/inventory.js';

export interface RunNames extends UsedContent {
  /** Seed, by the SHA-256 of the checkpoint. */
  members: ReadonlyMap<string, string>;
  /** Name of the data set, by its fingerprint. */
  sets: ReadonlyMap<string, string>;
}

/** Reads a run's experiment.json; undefined where there is none that says it. */
export async function readRunNames(runFolder: string): Promise<RunNames | undefined> {
  let record: Record<string, unknown>;
  try {
    record = fieldsOf(JSON.parse(await readFile(join(runFolder, 'experiment.json'), 'utf8')));
  } catch {
    return undefined;
  }
  const { in: inner, out } = fieldsOf(record.data);
  const { name, train, test } = fieldsOf(inner);
  const sets = [
    [`${name} (train)`, fieldsOf(train).fingerprint],
    [`${name} (test)`, fieldsOf(test).fingerprint],
    ...listOf(out).map((set) => [fieldsOf(set).name, fieldsOf(set).fingerprint]),
  ];
  const modes = listOf(record.modes).map((mode) => [String(fieldsOf(mode).seed), fieldsOf(mode).sha256]);
  const byHash = (pairs: unknown[][]) =>
    new Map(pairs.flatMap(([text, hash]) => (isText(text) && isText(hash) ? [[hash, text] as const] : [])));
  const names = { members: byHash(modes), sets: byHash(sets) };
  if (names.members.size === 0 || names.sets.size === 0) return undefined;
  return { ...names, weights: new Set(names.members.keys()), fingerprints: new Set(names.sets.keys()) };
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
