/**
 * The addon's contract: exactly what crosses the boundary, spelled as in C++ (native/addon reads these fields by name
 * and refuses what is missing or of another type). Options are fully defaulted before they cross; native code decides
 * nothing. Tensors do not cross: large results travel in safetensors files, small ones as copied typed arrays.
 */

import type { CountOperationsOptions, GemmPeakOptions } from './contract-bench.js';
import type {
  AugmentPixelsOptions,
  DataHandle,
  DecodeMode,
  ErasePixelsOptions,
  ErasePixelsResult,
  HashPixelsOptions,
  LoadPassOptions,
  LoadPassResult,
  OpenDataOptions,
  OpenDataResult,
  RandomBoxesOptions,
  RandomOpsOptions,
  RandomOpsResult,
  Region,
  SkippedImage,
  TransformOptions,
  VerifyOptions,
  VerifyResult,
} from './contract-data.js';
import type {
  ExtractOptions,
  ExtractResult,
  PerturbedGaussiansOptions,
  PerturbedGaussiansResult,
} from './contract-extract.js';
import type {
  CurveOptions,
  CurveResult,
  PointEvent,
  SurfaceOptions,
  SurfaceResult,
  WeightProductsOptions,
} from './contract-landscape.js';
import type {
  FitGaussiansOptions,
  FitGaussiansResult,
  GaussianScoresOptions,
  GaussianScoresResult,
  NeighboursOptions,
  NeighboursResult,
} from './contract-linalg.js';
import type {
  CheckDeviceOptions,
  DeviceCheck,
  JoinOptions,
  JoinResult,
  RanksHandle,
  ShareOptions,
} from './contract-processes.js';
import type { EpochEvent, StepEvent, TrainOptions, TrainResult } from './contract-train.js';

export type * from './contract-bench.js';
export type * from './contract-data.js';
export type * from './contract-extract.js';
export type * from './contract-landscape.js';
export type * from './contract-linalg.js';
export type * from './contract-processes.js';
export type * from './contract-train.js';

/**
 * `float32-plain` goes through the layers one by one, with nothing folded or laid out for speed: what others are compared with.
 * `tf32` and `float16` are of GPUs: float32 of which convolutions and matrix products read 10 bits of the fraction; and
 * float16, in which nothing is trained.
 */
export type Precision = 'float32' | 'float32-plain' | 'tf32' | 'bfloat16' | 'float16';
export interface ArchOptions {
  /** Canonical name of a row in the registry (native/models/registry.cc). */
  name: string;
  /** Channels of the first stage; the family's default is in ArchitectureInfo.width. */
  width: number;
  classes: number;
  /** Probability with which training zeroes an activation; 0 for families without dropout. */
  dropout: number;
}

export interface ArchitectureInfo {
  name: string;
  aliases: string[];
  family: string;
  /** Default width. Other widths are multiples of `widthStep` and scale every layer in proportion. */
  width: number;
  widthStep: number;
  /** Default dropout. */
  dropout: number;
  hasDropout: boolean;
  /** Classes of the data for which the network was published. */
  classes: number;
  /** Channels of the stages at the default width. */
  stages: number[];
  /** The preprocessing that travels with the architecture. */
  transform: TransformOptions;
}

export interface InitWeightsOptions {
  arch: ArchOptions;
  seed: number;
  /** Safetensors file to write, with the initial weights and buffers. */
  output: string;
  metadata: Record<string, string>;
}

export interface InitWeightsResult {
  tensors: number;
  parameters: number;
}

/** A checkpoint of one format into the other. Names lose `module.` and `_orig_mod.`; without `arch` order and types stay. */
export interface ConvertOptions {
  input: string;
  output: string;
  /** Of the output: `torch` is the zip format of torch.save, which torch.load opens with weights_only=True. */
  format: 'torch' | 'safetensors';
  /**
   * Where it is given, the weights must be this network's; they take its names and order, and float32. With 0 classes, as
   * many as they have.
   */
  arch: ArchOptions | null;
  /** Floating-point tensors of other widths become float32. */
  float32: boolean;
  /** The entry of a torch file that holds the weights; '' for the first of the usual names. */
  dictionary: string;
  metadata: Record<string, string>;
}

export interface ConvertResult {
  tensors: number;
  /** Of the tensors. */
  bytes: number;
}

export interface InspectOptions {
  path: string;
  dictionary: string;
  /** Look for an architecture that the weights fit. */
  identify: boolean;
}

/** What a checkpoint holds. No code of the file is run. */
export interface Inspection {
  format: 'safetensors' | 'torch zip' | 'torch legacy';
  /** Every tensor, named by its path in the file, in file order. */
  tensors: { name: string; dtype: string; shape: number[] }[];
  /** Of safetensors, or what our own writer put into a torch file. */
  metadata: Record<string, string>;
  /** Every other plain value: path and short text. */
  values: [path: string, text: string][];
  /** Why the file holds no network's weights; '' where it does. */
  problem: string;
  /** The entry in which the weights are, '' for the file's top level, and how many tensors they are. */
  weightsIn: string;
  weights: number;
  /** The listed architecture whose tensors they are, where `identify` was asked for. */
  fits: { name: string; width: number; classes: number } | null;
}

/** What a network gives, found out by passing a black image through it. */
export interface ProbeOptions {
  /** With the name `script` the checkpoint is a TorchScript module, which is run. */
  arch: ArchOptions;
  checkpoint: string;
  /** Side of the image, in pixels. */
  size: number;
}

export interface ProbeResult {
  classes: number;
  /** Width of the penultimate feature, 0 where the network gives none. */
  penultimate: number;
  stages: number;
  /** That it took to open the checkpoint. */
  seconds: number;
}

/** What a network makes of a few given inputs, tensor by tensor: for comparing it with Python's. */
export interface TraceOptions {
  arch: ArchOptions;
  /** '' for the initial weights of `seed`. */
  checkpoint: string;
  seed: number;
  /** Safetensors with `images` [N, 3, H, W], float32, normalised, and `labels` [N], int64. */
  input: string;
  /**
   * Safetensors to write: `logits`, `penultimate`, `stage1` … (whole maps), `head_map` and `head_vector` (the head on the
   * last stage's map and on the penultimate feature), `last_layer`, `input_gradient` (of the mean cross-entropy).
   */
  output: string;
  /** In what it is computed; results are float32. float64 is for comparisons that rounding must not disturb. */
  precision: 'float32' | 'float64';
  threads: number;
}

export interface TraceResult {
  /** Tensors of the network, and elements of the trained ones. */
  tensors: number;
  parameters: number;
  /** Trained parameters that the loss does not reach. */
  withoutGradient: string[];
}

export interface ProgressEvent {
  type: 'progress';
  /** What is being done, for instance `train`, `test`, `extract`, `neighbours`. */
  phase: string;
  done: number;
  total: number;
  /** Images (or rows) per second since the phase began. */
  rate: number;
}

export interface LogEvent {
  type: 'log';
  level: 'info' | 'warning';
  message: string;
}

export type JobEvent = ProgressEvent | StepEvent | EpochEvent | PointEvent | LogEvent;

/** What the addon hands back when a job starts. `done` rejects with an Error that has a `code`. */
export interface NativeJob<Result> {
  done: Promise<Result>;
  /** Asks the job to stop; it does within one batch, and `done` rejects with E_ABORTED. Harmless at any time. */
  abort(): void;
}

export interface NativeInfo {
  version: string;
  libtorch: string;
  /** Instruction set LibTorch's kernels use, for instance `AVX512`. */
  cpuCapability: string;
  /** LibTorch is a CUDA build. */
  cuda: boolean;
  /** `cpu`, and the GPUs that this process may use: `cuda:0`, … */
  devices: string[];
  /** Of these GPUs: name, memory, and what CUDA calls its compute capability. */
  gpus: string[];
  /** Compiler and its version. */
  compiler: string;
  /** Lines of at::show_config() and at::get_parallel_info(). */
  config: string;
  libjpeg: string;
  libpng: string;
  builtinSets: string[];
}

export interface Addon {
  info(): NativeInfo;
  architectures(): ArchitectureInfo[];
  /** By name or alias, in any case; also those that are not listed (any `wrn-D-K`). Null where there is none. */
  findArchitecture(name: string): ArchitectureInfo | null;
  /** Elements of the trained parameters, and tensors of the state_dict. Takes no memory for weights. */
  measureArchitecture(arch: ArchOptions): { parameters: number; tensors: number };
  /**
   * Multiply-adds of one image's forward pass: of convolutions and matrix products, counted from their shapes as they are run. What
   * is computed in fewer counts the same.
   */
  countOperations(options: CountOperationsOptions, sink: (event: JobEvent) => void): NativeJob<number>;
  /** 10⁹ multiplications and additions a second, 2·size³ a product. */
  gemmPeak(options: GemmPeakOptions, sink: (event: JobEvent) => void): NativeJob<number>;
  /**
   * Makes `path` and holds it against other processes (and other calls) until it is released or the process ends, however it
   * ends. Throws E_IO where somebody else holds it.
   */
  lockFile(path: string): { release(): void };
  /**
   * Until it is released, networks that `extract` and `perturbedGaussians` have made ready stay for the next such job that asks
   * for the same (the file's inode, size and time of change tell), and so does the memory that they worked in. On the CPU alone.
   */
  keepBetweenJobs(): { release(): void };
  /** Waits until all ranks are there. E_DEVICE where they do not find each other, and in all that follows where one has ended. */
  joinRanks(options: JoinOptions, sink: (event: JobEvent) => void): NativeJob<JoinResult>;
  shareText(options: ShareOptions, sink: (event: JobEvent) => void): NativeJob<string>;
  /** The others notice. A second call is harmless. */
  leaveRanks(handle: RanksHandle): void;
  /** Each part of the code that only GPUs have, against the CPU. E_DEVICE where there is no such GPU. */
  checkDevice(options: CheckDeviceOptions, sink: (event: JobEvent) => void): NativeJob<DeviceCheck[]>;
  openData(options: OpenDataOptions, sink: (event: JobEvent) => void): NativeJob<OpenDataResult>;
  /** Frees the set's memory once no job uses it. A second call is harmless; later use of the handle is E_CONFIG. */
  disposeData(handle: DataHandle): void;
  verifyData(options: VerifyOptions, sink: (event: JobEvent) => void): NativeJob<VerifyResult>;
  train(options: TrainOptions, sink: (event: JobEvent) => void): NativeJob<TrainResult>;
  extract(options: ExtractOptions, sink: (event: JobEvent) => void): NativeJob<ExtractResult>;
  neighbours(options: NeighboursOptions, sink: (event: JobEvent) => void): NativeJob<NeighboursResult>;
  initWeights(options: InitWeightsOptions, sink: (event: JobEvent) => void): NativeJob<InitWeightsResult>;
  convert(options: ConvertOptions, sink: (event: JobEvent) => void): NativeJob<ConvertResult>;
  inspectCheckpoint(options: InspectOptions, sink: (event: JobEvent) => void): NativeJob<Inspection>;
  probe(options: ProbeOptions, sink: (event: JobEvent) => void): NativeJob<ProbeResult>;
  trace(options: TraceOptions, sink: (event: JobEvent) => void): NativeJob<TraceResult>;
  loadPass(options: LoadPassOptions, sink: (event: JobEvent) => void): NativeJob<LoadPassResult>;
  /**
   * First 4 bytes (the first is the lowest) of the SHA-256 of each image's uint8 [crop, crop, 3] pixels after the transform,
   * in data-set order: for comparing with other programs.
   */
  hashPixels(options: HashPixelsOptions, sink: (event: JobEvent) => void): NativeJob<{ hashes: Uint32Array }>;
  /** Boxes [count, 4] (left, top, width, height) as training draws them for the images 0, 1, 2, … of that size. */
  randomBoxes(options: RandomBoxesOptions): Int32Array;
  /** The ops of RandAugment as training draws them for the images 0, 1, 2, … */
  randomOps(options: RandomOpsOptions): RandomOpsResult;
  /** A square after one op: for comparing with other programs. */
  augmentPixels(options: AugmentPixelsOptions): Uint8Array;
  /** A square after random erasing, as training does it to that image. */
  erasePixels(options: ErasePixelsOptions): ErasePixelsResult;
  /**
   * The decoded, resized and cropped pixels of one image, uint8 [crop, crop, 3]: for tests and pictures. With a `box`, that
   * part of the image becomes the square. `width` and `height` are the image's own.
   */
  readImage(
    handle: DataHandle,
    index: number,
    transform: TransformOptions,
    box?: Region | null,
    decode?: DecodeMode,
  ): { pixels: Uint8Array; label: number; name: string; width: number; height: number };
  fitGaussians(options: FitGaussiansOptions, sink: (event: JobEvent) => void): NativeJob<FitGaussiansResult>;
  gaussianScores(options: GaussianScoresOptions, sink: (event: JobEvent) => void): NativeJob<GaussianScoresResult>;
  perturbedGaussians(
    options: PerturbedGaussiansOptions,
    sink: (event: JobEvent) => void,
  ): NativeJob<PerturbedGaussiansResult>;
  surface(options: SurfaceOptions, sink: (event: JobEvent) => void): NativeJob<SurfaceResult>;
  /** Inner products of the checkpoints' trained parameters, row by row. */
  weightProducts(options: WeightProductsOptions, sink: (event: JobEvent) => void): NativeJob<number[]>;
  trainCurve(options: CurveOptions, sink: (event: JobEvent) => void): NativeJob<CurveResult>;
}
