import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ModeEnsembleError } from '../config/errors.js';
import { ioError } from '../config/files.js';
import type { Addon } from '../native/contract.js';
import type { JobHooks } from '../native/job.js';
import { inspectCheckpoint } from './inspect.js';
import { type ModeMetadata, readMetadata } from './metadata.js';

/** A finished mode. */
export interface FoundMode {
  seed: number;
  checkpoint: string;
  metadata: ModeMetadata | undefined;
}

export function modeFolder(runFolder: string, archId: string, seed: number): string {
  return join(runFolder, 'modes', archId, `seed-${seed}`);
}

export function checkpointIn(folder: string): string {
  return join(folder, 'checkpoint.safetensors');
}

/** The finished modes of one architecture in a run folder, by seed. */
export async function findModes(runFolder: string, archId: string, addon?: Addon): Promise<FoundMode[]> {
  const folder = join(runFolder, 'modes', archId);
  if (!existsSync(folder)) return [];
  const seeds = readdirSync(folder)
    .map((entry) => /^seed-(\d+)$/.exec(entry)?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .filter((seed) => existsSync(checkpointIn(modeFolder(runFolder, archId, seed))))
    .sort((a, b) => a - b);
  return Promise.all(
    seeds.map(async (seed) => {
      const checkpoint = checkpointIn(modeFolder(runFolder, archId, seed));
      return { seed, checkpoint, metadata: await readCheckpoint(checkpoint, addon) };
    }),
  );
}

/**
 * What a checkpoint says about itself; undefined where another program wrote it.
 *
 * @throws ModeEnsembleError E_IO where it cannot be read, E_CHECKPOINT where it is damaged
 */
export async function readCheckpoint(file: string, addon?: Addon, hooks?: JobHooks): Promise<ModeMetadata | undefined> {
  const { metadata } = await inspectCheckpoint(file, { addon }, hooks);
  return readMetadata(metadata, file);
}

/** SHA-256 (hex) of the file. @throws ModeEnsembleError E_IO */
export async function weightsHash(file: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(file), hash, { signal });
  } catch (error) {
    if (signal?.aborted) throw new ModeEnsembleError('E_ABORTED', 'The job was stopped.', { cause: error });
    throw ioError(error, file, 'read');
  }
  return hash.digest('hex');
}
