/** A training on noise: how fast this machine trains, without files. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '../config/errors.js';
import type { ModeArch } from '../modes/arch.js';
import type { TransformOptions } from '../native/contract.js';
import { getAddon } from '../native/load.js';
import type { TrainFlags } from './train-flags.js';

/** Steps of an epoch. */
const STEPS = 50;
/** Flags that name files. */
const FILES = ['in', 'test', 'suite', 'data', 'run', 'out'] as const;

export interface MadeUpFlags extends TrainFlags {
  out?: string;
  madeUpData?: true;
  evaluate?: true;
}

/** @throws ConfigError for flags that name files beside --made-up-data */
export function checkMadeUp(flags: MadeUpFlags): void {
  if (!flags.madeUpData) return;
  const other = FILES.find((name) => flags[name] !== undefined) ?? (flags.evaluate && 'evaluate');
  if (other) throw new ConfigError(`--made-up-data: it reads and writes no files; leave out --${other}`);
}

/** As many classes as the network was published with, and an epoch of some steps. */
export function madeUpSpec(arch: ModeArch, { crop }: TransformOptions, batchSize: number): string {
  const classes = getAddon().findArchitecture(arch.name)?.classes ?? 1000;
  return `made-up:${crop}/${classes}/${batchSize * STEPS}`;
}

/** A folder that goes when it is disposed of. */
export function passingFolder(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), 'mode-ensemble-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
