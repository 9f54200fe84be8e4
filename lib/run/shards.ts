/** Extraction of a part of each set, and the merging of the parts to the bytes that one extraction of the whole would have written. */
import { existsSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { makeWritableFolder } from '../config/folders.js';
import type { DataSet } from '../data/open.js';
import { openPart } from '../data/part.js';
import { PLAIN } from '../features/pass.js';
import { openSafetensors, type TensorInfo } from '../features/safetensors.js';
import type { FeatureStore } from '../features/store.js';
import { safetensorsHead, type TensorPlan, writeSafetensors } from '../features/write-safetensors.js';
import { archOptions } from '../modes/arch.js';
import { startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import { type ExtractSettings, goingTogether, lookUp, type StageHooks, type Wanted } from './extract.js';

/** The part `index` of `count`, from 1. */
export interface Shard {
  index: number;
  count: number;
}

/** @throws ConfigError */
export function parseShard(text: string, where: string): Shard {
  const [, index, count] = (/^(\d+)\/(\d+)$/.exec(text) ?? []).map(Number);
  if (index !== undefined && count !== undefined && index >= 1 && index <= count) return { index, count };
  throw new ConfigError(`${where}: expected a part such as 1/4, found "${text}"`);
}

/** Images `from` to `to` − 1; parts begin where batches of the whole do, so that no number depends on the parts. */
export function shardRange(images: number, batchSize: number, { index, count }: Shard): { from: number; to: number } {
  const batches = Math.ceil(images / batchSize);
  const at = (part: number) => Math.min(images, Math.floor((batches * part) / count) * batchSize);
  return { from: at(index - 1), to: at(index) };
}

export interface ShardResult {
  /** Parts made now, and those that were there. */
  made: number;
  reused: number;
  /** Feature files of which all parts are there now, and that were therefore merged; and those that were there as a whole. */
  merged: number;
  whole: number;
  /** Feature files that wait for other parts. */
  waiting: number;
}

/**
 * Makes one part of all feature files that are missing. Whoever makes the last part of a file merges it.
 *
 * @throws ModeEnsembleError E_DATA, E_CONFIG, E_CHECKPOINT, E_ABORTED, E_IO; finished parts stay
 */
export async function extractShards(
  settings: ExtractSettings,
  shard: Shard,
  hooks: StageHooks = {},
): Promise<ShardResult> {
  const { members, sets, store, passes } = settings;
  const result: ShardResult = { made: 0, reused: 0, merged: 0, whole: 0, waiting: 0 };
  const all: [DataSet, string, typeof passes][] = [
    ...(sets.train ? [[sets.train, `${sets.train.name} (train)`, [PLAIN]] as [DataSet, string, typeof passes]] : []),
    [sets.test, `${sets.test.name} (test)`, passes],
    ...sets.out.map((set): (typeof all)[number] => [set, set.name, passes]),
  ];
  await makeWritableFolder(folderOf(store));
  for (const [set, label, own] of all) {
    const files = await Promise.all(
      members.flatMap((member) => own.map((pass) => lookUp(settings, set, member, { pass }, hooks))),
    );
    const distinct = files.filter(({ key }, index) => files.findIndex((other) => other.key === key) === index);
    const missing = distinct.filter(({ isThere }) => !isThere);
    result.whole += distinct.length - missing.length;
    const { from, to } = shardRange(set.count, settings.batchSize, shard);
    const wanted = missing.filter(({ key }) => !existsSync(partPath(store, key, shard)));
    result.reused += missing.length - wanted.length;
    if (from < to) {
      for (const group of goingTogether(wanted, settings.modesAtOnce)) {
        hooks.onStage?.(`extract ${label}, part ${shard.index} of ${shard.count}`);
        await extractPart(settings, set, group, { from, to, shard }, hooks);
        result.made += group.length;
      }
    }
    for (const file of missing) {
      if (await mergeParts(settings, set, file, shard.count)) result.merged++;
      else result.waiting++;
    }
  }
  return result;
}

function folderOf(store: FeatureStore): string {
  return join(store.folder, 'parts');
}

function partPath(store: FeatureStore, key: string, { index, count }: Shard): string {
  return join(folderOf(store), `${key}.${index}-of-${count}.safetensors`);
}

async function extractPart(
  settings: ExtractSettings,
  set: DataSet,
  files: readonly Wanted[],
  { from, to, shard }: { from: number; to: number; shard: Shard },
  hooks: StageHooks,
): Promise<void> {
  const { members, batchSize, device = 'cpu', precision, threads, workers, storage = 'float32', store } = settings;
  const addon = settings.addon ?? getAddon();
  const { transform } = (files[0] as Wanted).member;
  const folder = await mkdtemp(join(tmpdir(), 'mode-ensemble-part-'));
  try {
    using part = await openPart(set, { from, to, transform, folder, threads, signal: hooks.signal, addon });
    const wanted = members.flatMap((member) => {
      const own = files.filter((file) => file.member === member);
      if (own.length === 0) return [];
      const outputs = own.map(({ pass, key, metadata }) => ({
        pass,
        path: partPath(store, key, shard),
        storage,
        metadata,
      }));
      const { arch, classes, checkpoint } = member;
      return [{ arch: archOptions(arch, classes), checkpoint, outputs, stageScores: [] }];
    });
    const options = { members: wanted, data: part.handle, batchSize, device, precision, threads, workers };
    await startJob((sink) => addon.extract({ ...options, transform: part.transform }, sink), hooks).done;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @returns false where a part is not there yet */
async function mergeParts(
  { store, batchSize }: ExtractSettings,
  set: DataSet,
  file: Wanted,
  count: number,
): Promise<boolean> {
  const shards = Array.from({ length: count }, (_, i) => ({ index: i + 1, count })).filter((shard) => {
    const { from, to } = shardRange(set.count, batchSize, shard);
    return from < to;
  });
  const paths = shards.map((shard) => partPath(store, file.key, shard));
  if (!paths.every((path) => existsSync(path))) return existsSync(file.path);
  const parts = await Promise.all(paths.map((path) => openSafetensors(path)));
  const [first] = parts as [(typeof parts)[number]];
  const plans = [...first.tensors.values()].map(({ name, dtype, shape: [, ...row] }): TensorPlan => {
    const rows = parts.reduce((sum, part) => sum + ((part.tensors.get(name) as TensorInfo).shape[0] as number), 0);
    return { name, dtype: dtype as TensorPlan['dtype'], shape: [rows, ...row] };
  });
  if (plans.some(({ shape }) => shape[0] !== set.count)) {
    throw new ModeEnsembleError(
      'E_DATA',
      `${paths[0]}: expected parts of ${set.count} images in all, found ${plans[0]?.shape[0]}.`,
    );
  }
  await writeSafetensors(file.path, safetensorsHead(plans, first.metadata), async (append) => {
    for (const { name } of plans) {
      for (const part of parts) await copy(part.path, part.tensors.get(name) as TensorInfo, append);
    }
  });
  // Others may merge at the same time, to the same bytes.
  for (const path of paths) await rm(path, { force: true });
  return true;
}

const PIECE = 1 << 22;

async function copy(
  path: string,
  { begin, end }: TensorInfo,
  append: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const handle = await open(path, 'r');
  try {
    const buffer = new Uint8Array(Math.min(PIECE, end - begin));
    for (let at = begin; at < end; ) {
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, end - at), at);
      if (bytesRead === 0) throw new ModeEnsembleError('E_DATA', `${path}: expected ${end} bytes, found ${at}.`);
      await append(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
  } finally {
    await handle.close();
  }
}
