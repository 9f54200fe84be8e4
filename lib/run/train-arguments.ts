/** A training's settings as the arguments of `mode-ensemble train`, which reads the same settings from them. */
import type { TrainSettings, TransformSettings } from '../config/schema.js';
import type { TrainDataSettings } from './train-sets.js';

export interface TrainArguments extends TrainDataSettings {
  /** Its id, which also says the width. */
  arch: string;
  seed: number;
  /** Run folder. */
  run: string;
  train: Partial<TrainSettings>;
  transform: TransformSettings;
  allowChange: readonly string[];
  skipBadImages: boolean;
  device: string | undefined;
  /** Of each rank. */
  threads: number;
  workers: number | undefined;
  ranks: number | undefined;
}

/** What the flag of a setting is called: `batchSize` → `--batch-size`. */
export function flagName(field: string): string {
  return `--${field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** The arguments, `train` first; settings that are undefined are left to the command's own defaults. */
export function trainArguments(options: TrainArguments): string[] {
  const { train, transform, allowChange, skipBadImages, ...plain } = options;
  const { nesterov, flip, ...settings } = train;
  const lists = allowChange.length > 0 ? { allowChange } : {};
  const values = Object.entries({ ...plain, ...lists, ...settings, ...transform }).filter(
    ([, value]) => value !== undefined,
  );
  return [
    'train',
    // One word each, so that a value may begin with a dash.
    ...values.map(([field, value]) => `${flagName(field)}=${Array.isArray(value) ? value.join(',') : value}`),
    ...(nesterov ? ['--nesterov'] : []),
    ...(flip === false ? ['--no-flip'] : []),
    ...(skipBadImages ? ['--skip-bad-images'] : []),
    '--json',
  ];
}
