import { appendFileSync, existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { firstDifference, type Json } from '../config/canonical.js';
import { describe } from '../config/describe.js';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { ioError, temporaryName } from '../config/files.js';
import { makeWritableFolder } from '../config/folders.js';
import type { TrainSettings } from '../config/schema.js';
import type { DataSet } from '../data/open.js';
import type { Addon, AugmentOptions, EpochEvent, TrainResult, TransformOptions } from '../native/contract.js';
import { type JobHooks, startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import { archOptions, type ModeArch } from './arch.js';
import { checkpointIn, readCheckpoint } from './find.js';
import { type ModeSettings, readMetadata, writeMetadata } from './metadata.js';

export interface TrainModeSettings {
  arch: ModeArch;
  seed: number;
  /** Training data; its classes are the network's. */
  train: DataSet;
  /** Validated on after each epoch; does not shape the weights. */
  test: DataSet;
  settings: TrainSettings;
  /** Default: the architecture's. */
  transform?: TransformOptions | undefined;
  threads: number;
  workers: number;
  /** The mode's own folder: `checkpoint.safetensors` and `log.jsonl` go here. */
  folder: string;
  addon?: Addon | undefined;
}

export interface TrainedMode {
  seed: number;
  checkpoint: string;
  /** False where a finished mode with the same settings was there already. */
  isNew: boolean;
  /** Of the training; absent where the mode was there already. */
  result?: TrainResult | undefined;
}

/**
 * Trains one mode, or finds it finished. A mode that is there is never overwritten.
 *
 * @throws ModeEnsembleError E_CONFIG where a mode with other settings is there, E_DATA where the two sets' classes
 *   differ, E_ABORTED, E_IO
 */
export async function trainMode(options: TrainModeSettings, hooks: JobHooks = {}): Promise<TrainedMode> {
  const { arch, seed, train, test, settings, threads, workers, folder, addon = getAddon() } = options;
  requireSameClasses(train, test);
  const { dropout = arch.dropout, ...recipe } = settings;
  const wanted: ModeSettings = {
    arch: archOptions({ ...arch, dropout }, train.classes.length),
    data: train.fingerprint,
    train: recipe,
    transform: options.transform ?? arch.transform,
  };
  const metadata = writeMetadata(seed, train.classes, wanted);
  const checkpoint = checkpointIn(folder);
  if (existsSync(checkpoint)) {
    await requireSame(checkpoint, metadata, addon);
    return { seed, checkpoint, isNew: false };
  }
  await makeWritableFolder(folder);
  const log = openLog(folder);
  const job = startJob(
    (sink) =>
      addon.train(
        {
          ...jobSettings(recipe),
          arch: wanted.arch,
          seed,
          train: train.handle,
          test: test.handle,
          transform: wanted.transform,
          threads,
          workers,
          checkpoint,
          metadata,
        },
        sink,
      ),
    {
      ...hooks,
      onEpoch(event) {
        if (!log.write(event)) job.abort();
        hooks.onEpoch?.(event);
      },
    },
  );
  try {
    const result = await job.done;
    return { seed, checkpoint, isNew: true, result };
  } catch (error) {
    throw log.fault ?? error;
  }
}

/** Of torchvision's RandomResizedCrop. */
const USUAL_SCALE: [number, number] = [0.08, 1];
const USUAL_RATIO: [number, number] = [3 / 4, 4 / 3];
/** Sets of which all decoded images take at most so many bytes stay in memory from epoch to epoch. */
const KEEP_DECODED = 2 ** 30;

/** The recipe in the words of the job. */
function jobSettings(recipe: Omit<TrainSettings, 'dropout'>) {
  const { randomCrop, cropPadding, cropScale, cropRatio, decode, flip, ...optimisation } = recipe;
  const augment: AugmentOptions = {
    crop: randomCrop ?? 'padded',
    cropPadding,
    scale: cropScale ?? USUAL_SCALE,
    ratio: cropRatio ?? USUAL_RATIO,
    flip,
  };
  return { ...optimisation, augment, decode: decode ?? ('exact' as const), keepDecoded: KEEP_DECODED };
}

/** In-distribution labels are only comparable where both parts have the same classes. */
export function requireSameClasses(train: DataSet, test: DataSet): void {
  const at = train.classes.findIndex((name, index) => test.classes[index] !== name);
  if (at < 0 && train.classes.length === test.classes.length) return;
  const index = at < 0 ? train.classes.length : at;
  const [expected, found] = [describe(train.classes[index]), describe(test.classes[index])];
  const what = `class ${index} is ${expected} in the training data and ${found} in the test data`;
  throw new ModeEnsembleError('E_DATA', `${train.name}: ${what}; expected the same classes in both`);
}

async function requireSame(checkpoint: string, metadata: Record<string, string>, addon: Addon): Promise<void> {
  const there = await readCheckpoint(checkpoint, addon);
  const advice = 'set it back, use another run folder, or remove this file';
  if (!there) {
    throw new ConfigError(
      `${checkpoint}: expected a mode of this run, found a checkpoint of another program; ${advice}`,
    );
  }
  const wanted = readMetadata(metadata, checkpoint);
  if (there.settingsHash === wanted?.settingsHash && there.seed === wanted.seed) return;
  const difference = firstDifference(
    { seed: there.seed, ...(there.settings as { [key: string]: Json }) },
    { seed: wanted?.seed ?? null, ...(wanted?.settings as { [key: string]: Json }) },
  );
  const { field, a, b } = difference ?? { field: 'settingsHash', a: there.settingsHash, b: wanted?.settingsHash };
  const found = `was trained with ${field} ${describe(a)}, but ${describe(b)} is asked for now`;
  throw new ConfigError(`${checkpoint}: ${found}; ${advice}`);
}

interface EpochLog {
  /** False where the disk refused the line. */
  write(event: EpochEvent): boolean;
  /** Why, as an error to throw. */
  fault: ModeEnsembleError | undefined;
}

/** Starts log.jsonl anew (so does training) and adds a line as each epoch ends. */
function openLog(folder: string): EpochLog {
  const file = join(folder, 'log.jsonl');
  const attempt = (work: () => void) => {
    try {
      work();
      return undefined;
    } catch (error) {
      return ioError(error, file, 'written');
    }
  };
  const fault = attempt(() => {
    const temporary = temporaryName(file);
    writeFileSync(temporary, '');
    renameSync(temporary, file);
  });
  if (fault) throw fault;
  const log: EpochLog = {
    fault: undefined,
    write({ type: _, ...line }) {
      log.fault ??= attempt(() => appendFileSync(file, `${JSON.stringify(line)}\n`));
      return log.fault === undefined;
    },
  };
  return log;
}
