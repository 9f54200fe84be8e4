/** The data that a training reads, and what has to hold before it begins. */
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { type DataSet, type OpenDataSettings, openData } from '../data/open.js';
import { type DataSpec, parseDataSpec } from '../data/spec.js';
import { type FoundSuite, missingSentence } from '../data/suite.js';
import { chooseSets, tellIncomplete } from './sets.js';

/** Where a suite lies if nothing else is said. */
export const DEFAULT_DATA = 'data';
/** Where modes go if nothing else is said. */
export const DEFAULT_RUN = 'runs/train';

export interface TrainDataSettings {
  /** Training data, `[NAME=]READER:PATH[?split=train]`. */
  in?: string | undefined;
  /** Test data; default: the test part of `in`. */
  test?: string | undefined;
  /** A suite's in-distribution set, instead of `in` and `test`. */
  suite?: string | undefined;
  /** Folder of the suite's sets; default: `data`. */
  data?: string | undefined;
  /** Base of relative data paths. */
  root?: string | undefined;
}

/** What errors call a field: the flag, or the field's own name. */
export type NameTrainField = (field: string) => string;

export interface TrainSets {
  suite: FoundSuite | undefined;
  root: string | undefined;
  train: DataSpec;
  test: DataSpec;
  /** Take a set whole that has no parts. */
  allowWhole: boolean;
  /** What errors call them. */
  where: { train: string; test: string };
}

/**
 * The training and the test data, not opened yet.
 *
 * @throws ModeEnsembleError E_CONFIG, E_DATA where a suite's sets are missing
 */
export function chooseTrainSets(settings: TrainDataSettings, name: NameTrainField): TrainSets {
  const { in: own, test, suite, data, root } = settings;
  if (suite === undefined && data !== undefined) {
    throw new ConfigError(`${name('data')}: expected ${name('suite')} with it, found none`);
  }
  if (suite !== undefined && test !== undefined) {
    throw new ConfigError(`${name('suite')}: expected either ${name('suite')} or ${name('test')}, found both`);
  }
  const sets = chooseSets({ in: own, suite, data: data ?? DEFAULT_DATA, root, needsOut: false }, name);
  const train = sets.in.spec;
  if (sets.suite && !sets.suite.train.spec) {
    throw new ModeEnsembleError('E_DATA', `${name('suite')}: ${missingSentence(sets.suite.train)}`);
  }
  if (test === undefined && train.split === 'test') {
    const advice = `name the test data with ${name('test')}`;
    throw new ConfigError(`${name('in')}: expected training data, found ?split=test; ${advice}`);
  }
  return {
    suite: sets.suite,
    root: sets.in.root,
    train,
    test: test === undefined ? { ...train, split: undefined } : parseDataSpec(test, name('test')),
    // Without test data of their own the two parts come from one set, which must then be divided.
    allowWhole: test !== undefined,
    where: { train: sets.in.where, test: suite === undefined ? name('test') : sets.in.where },
  };
}

/** Both sets, open. */
export interface OpenTrainSets extends Disposable {
  train: DataSet;
  test: DataSet;
}

/**
 * Opens both sets, and warns where a suite's has fewer images than it should.
 *
 * @throws ModeEnsembleError E_DATA for missing or damaged data, E_CONFIG, E_ABORTED
 */
export async function openTrainSets(
  sets: TrainSets,
  settings: Omit<OpenDataSettings, 'root' | 'split' | 'allowWhole' | 'where'>,
): Promise<OpenTrainSets> {
  const shared = { ...settings, root: sets.root, allowWhole: sets.allowWhole };
  const train = await openData(sets.train, { ...shared, where: sets.where.train, split: 'train' });
  try {
    const test = await openData(sets.test, { ...shared, where: sets.where.test, split: 'test' });
    tellIncomplete(sets.suite?.train, train, settings);
    tellIncomplete(sets.suite?.test, test, settings);
    const dispose = () => {
      train.dispose();
      test.dispose();
    };
    return { train, test, [Symbol.dispose]: dispose };
  } catch (error) {
    train.dispose();
    throw error;
  }
}

/** Ranks share every batch equally. @throws ConfigError */
export function requireShares(batchSize: number, ranks: number, where: string): void {
  if (batchSize % ranks === 0) return;
  const near = Math.max(ranks, Math.round(batchSize / ranks) * ranks);
  throw new ConfigError(
    `${where}: expected a multiple of the ${ranks} ranks, which share it, for instance ${near}, found ${batchSize}`,
  );
}
