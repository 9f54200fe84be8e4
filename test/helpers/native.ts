import type { z } from 'zod';
import { trainSchema } from '../../lib/config/recipes.js';
import { augmentOptions, type RecipeOptions, recipeOptions } from '../../lib/modes/job-settings.js';
import type {
  ArchOptions,
  AugmentOptions,
  DataHandle,
  ExtractMember,
  ExtractOptions,
  JobEvent,
  NativeJob,
  OpenDataOptions,
  OpenDataResult,
  PassOptions,
  SavingOptions,
  TrainOptions,
  TransformOptions,
} from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';

export const CIFAR_TRANSFORM: TransformOptions = {
  resize: 32,
  fit: 'both',
  filter: 'bilinear',
  crop: 32,
  mean: [0.4914, 0.4822, 0.4465],
  std: [0.247, 0.2435, 0.2616],
};

export const quiet = (_event: JobEvent): void => {};

/** Options of opening a set; everything but the path has a usual value. */
export function openOptions(options: Partial<OpenDataOptions> & { path: string }): OpenDataOptions {
  const usual = { labels: '', root: '', cache: '', threads: 1, skipBadImages: false };
  return { reader: 'cifar10', split: 'train', ...usual, ...options };
}

export function open(options: Partial<OpenDataOptions> & { path: string }): Promise<OpenDataResult> {
  return getAddon().openData(openOptions(options), quiet).done;
}

/** The paper's random crop and flip for CIFAR-10. */
export const AUGMENT: AugmentOptions = augmentOptions(trainSchema.parse({}));

/** What training options are made of recipes: those of a small job. */
export function recipe(given: z.input<typeof trainSchema> = {}): RecipeOptions {
  const small = { epochs: 1, batchSize: 32, learningRate: 0.05, weightDecay: 5e-4 };
  return { ...recipeOptions(trainSchema.parse({ ...small, ...given })), keepDecoded: 0 };
}

/** No weights of single epochs. */
export const UNSAVED: SavingOptions = { saveEpochs: 0, stateSteps: 0, stateMinutes: 0, keepStates: 1, folder: '' };

/** Options of a small training job; everything can be overridden. */
export function trainOptions(
  train: DataHandle,
  test: DataHandle,
  checkpoint: string,
  overrides: Partial<TrainOptions> = {},
): TrainOptions {
  return {
    arch: { name: 'cifar-resnet18', width: 8, classes: 10, dropout: 0 },
    seed: 7,
    train,
    test,
    transform: CIFAR_TRANSFORM,
    ...recipe(),
    saving: UNSAVED,
    reportSteps: 50,
    device: 'cpu',
    threads: 2,
    workers: 1,
    checkpoint,
    ranks: null,
    evaluate: false,
    resume: '',
    metadata: { made: 'test' },
    ...overrides,
  };
}

/** A member of which one file is made, of the plain pass. */
export function extractMember(
  arch: ArchOptions,
  checkpoint: string,
  path: string,
  pass: PassOptions = { kind: 'plain', temperature: 1, magnitude: 0, gradient: 'own' },
): ExtractMember {
  return {
    arch,
    checkpoint,
    outputs: [{ pass, path, storage: 'float32', metadata: { key: 'test' } }],
    stageScores: [],
  };
}

/** Options of an extraction through one CIFAR ResNet-18; everything can be overridden. */
export function extractOptions(
  data: DataHandle,
  checkpoint: string,
  output: string,
  width: number,
  { arch, ...overrides }: Partial<ExtractOptions> & { arch?: ArchOptions } = {},
): ExtractOptions {
  const usual = { name: 'cifar-resnet18', width, classes: 10, dropout: 0 };
  return {
    members: [extractMember(arch ?? usual, checkpoint, output)],
    data,
    transform: CIFAR_TRANSFORM,
    batchSize: 32,
    device: 'cpu',
    precision: 'float32',
    threads: 2,
    workers: 1,
    ...overrides,
  };
}

/** The error a job ends with; fails where it ends well. */
export async function failure(job: NativeJob<unknown>): Promise<Error & { code: string }> {
  try {
    await job.done;
  } catch (error) {
    return error as Error & { code: string };
  }
  throw new Error('the job was expected to fail and did not');
}
