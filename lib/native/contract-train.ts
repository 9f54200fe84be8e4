/** The part of the addon's contract that trains; see contract.ts. */
import type { ArchOptions, Precision } from './contract.js';
import type { AugmentOptions, DataHandle, DecodeMode, TransformOptions } from './contract-data.js';
import type { RanksHandle } from './contract-processes.js';

export interface OptimizerOptions {
  /** `sgd` as torch.optim.SGD, with momentum and nesterov; `adamw` as torch.optim.AdamW, with the betas and epsilon. */
  name: 'sgd' | 'adamw';
  weightDecay: number;
  /** `matrices`: weight decay spares parameters of one dimension (norms, biases) and class tokens. */
  decayOn: 'all' | 'matrices';
  momentum: number;
  nesterov: boolean;
  beta1: number;
  beta2: number;
  epsilon: number;
}

/** The learning rate of each epoch; within one it stays. */
export interface ScheduleOptions {
  /** `cosine`: from `learningRate` to `minRate` over all epochs but the last `cooldownEpochs`; `step`: × stepFactor every stepEpochs. */
  name: 'cosine' | 'step';
  learningRate: number;
  /** In the first so many epochs it rises in a line from `warmupRate`. */
  warmupEpochs: number;
  warmupRate: number;
  minRate: number;
  cooldownEpochs: number;
  stepEpochs: number;
  stepFactor: number;
}

export interface ObjectiveOptions {
  labelSmoothing: number;
  /** The α of Beta(α, α) from which the share of two mixed images is drawn; 0 for none. */
  mixup: number;
  cutmix: number;
  /** With which probability a batch is mixed, and then by cutmix where there are both. */
  mixProbability: number;
  switchProbability: number;
}

export interface SavingOptions {
  /**
   * The weights after epoch 1 and after every so many, but the last, go to `<folder>/epoch-<n>.safetensors`; 0 for none.
   */
  saveEpochs: number;
  /**
   * Steps, and minutes, after which all that is needed to go on goes to `<folder>/state.safetensors`; 0 for neither. A stopped
   * training writes it too.
   */
  stateSteps: number;
  stateMinutes: number;
  /** So many of the last are kept, those before the newest as `state-<steps>.safetensors`. */
  keepStates: number;
  /** '' where no state is to be written, whatever happens. */
  folder: string;
}

export interface TrainOptions {
  arch: ArchOptions;
  seed: number;
  train: DataHandle;
  test: DataHandle;
  transform: TransformOptions;
  augment: AugmentOptions;
  decode: DecodeMode;
  /** Decoded and resized images are kept for the next epoch where all of them take at most so many bytes. */
  keepDecoded: number;
  epochs: number;
  /** Of all ranks together. */
  batchSize: number;
  optimizer: OptimizerOptions;
  schedule: ScheduleOptions;
  objective: ObjectiveOptions;
  /** With which probability an image's pass leaves out the last residual block; those before it less, in a line to 0. */
  dropPath: number;
  /** Decay of a running mean of the weights, which is then what is validated and kept; 0 for none. */
  ema: number;
  saving: SavingOptions;
  /** Steps between two StepEvents; the last step of an epoch always makes one. */
  reportSteps: number;
  /** `cpu` or `cuda:N`. */
  device: string;
  precision: Precision;
  /** Compute threads and loader threads. */
  threads: number;
  workers: number;
  /** The processes that train together; null for one alone. All but rank 0 write no files and report no steps and epochs. */
  ranks: RanksHandle | null;
  /** Where the trained weights go (safetensors, written whole or not at all). */
  checkpoint: string;
  /** Nothing is trained: the checkpoint, which is there, is validated. */
  evaluate: boolean;
  /** The state of the same training to go on from; '' to begin. */
  resume: string;
  /** Goes into the checkpoint's `__metadata__` as it is. */
  metadata: Record<string, string>;
}

export interface TrainResult {
  /** Of the last epoch; 0 where nothing was trained, as imagesPerSecond. */
  loss: number;
  /** Top-1 and top-5 on the test data after the last epoch, in percent. */
  accuracy: number;
  top5: number;
  testLoss: number;
  /** Of this job; so is the speed. */
  seconds: number;
  /** Training images per second, validation left out. */
  imagesPerSecond: number;
}

/** What the training did since the report before. */
export interface StepEvent {
  type: 'step';
  /** From 1. */
  epoch: number;
  epochs: number;
  /** In the epoch, from 1. */
  step: number;
  steps: number;
  /** Over all epochs, from 1. */
  globalStep: number;
  /** Mean over the images since the report before, as top1 and top5 (percent; of the labels before mixing). */
  loss: number;
  top1: number;
  top5: number;
  learningRate: number;
  imagesPerSecond: number;
  dataWait: number;
}

export interface EpochEvent {
  type: 'epoch';
  /** From 1. */
  epoch: number;
  epochs: number;
  globalStep: number;
  /** Mean training loss over the epoch's images, and their top-1 and top-5 in percent as they were trained on. */
  loss: number;
  trainTop1: number;
  trainTop5: number;
  learningRate: number;
  /** Top-1 and top-5 on the test data, in percent, and the mean cross-entropy there. */
  accuracy: number;
  top5: number;
  testLoss: number;
  seconds: number;
  imagesPerSecond: number;
  /** Share of the training time spent waiting for the loader, 0 to 1. */
  dataWait: number;
}
