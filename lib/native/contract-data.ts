/** The part of the addon's contract (contract.ts) that is about data sets and images. */

export type ReaderName =
  | 'cifar10'
  | 'cifar100'
  | 'svhn'
  | 'imagenet'
  | 'folder'
  | 'list'
  | 'tar'
  | 'npy'
  | 'made-up'
  | 'builtin';

/** A type-tagged external; only the addon can look inside. */
export interface DataHandle {
  readonly __dataHandle: unique symbol;
}

export interface OpenDataOptions {
  reader: ReaderName;
  /** File or folder; for `builtin` the name of a built-in set (`shapes`, or one of the OoD sets), for `made-up` SIDE/CLASSES/IMAGES. */
  path: string;
  /** `train`, `test`, `extra` (SVHN), or '' where the set has one part only. */
  split: string;
  /** Which labels, or the file that holds them; '' for the reader's usual ones. */
  labels: string;
  /** What the paths in a list are relative to; '' for the list's own folder. */
  root: string;
  /** Folder in which indices of large sets are kept; '' for none. */
  cache: string;
  /** Threads that index a large set. */
  threads: number;
  /** Count and pass over images that cannot be decoded instead of failing. */
  skipBadImages: boolean;
}

export interface DataInfo {
  /** Images in the set, before any bad one is passed over. */
  count: number;
  classes: string[];
  /** SHA-256 (hex) over the reader's version, names, sizes and a sample of the content. */
  fingerprint: string;
}

export interface OpenDataResult extends DataInfo {
  handle: DataHandle;
}

/** Reads and decodes every image of a set. */
export interface VerifyOptions {
  data: DataHandle;
  threads: number;
}

export interface VerifyResult {
  /** Images that were read, the bad ones among them. */
  count: number;
  badCount: number;
  /** The first 1,000 bad ones in data-set order, and why each is bad: a sentence. */
  bad: SkippedImage[];
  /** Of the image files; of the pixels where a set lies in memory. */
  bytes: number;
  /** Pixels of the good images; 0 where there is none. */
  minWidth: number;
  maxWidth: number;
  minHeight: number;
  maxHeight: number;
  seconds: number;
}

/**
 * Resize with Pillow's antialiased filter on 8-bit images, a square cut from the middle, to [0, 1], minus mean, over
 * std. `fit` is `both` (both sides become `resize`) or `short` (the shorter one does, as torchvision's Resize(int)).
 */
export interface TransformOptions {
  resize: number;
  fit: 'both' | 'short';
  filter: 'bilinear' | 'bicubic';
  /** Side of the square, in pixels; at most `resize`. */
  crop: number;
  mean: [number, number, number];
  std: [number, number, number];
}

/** The random part of preparing a training image, and torchvision's names for it. */
export interface AugmentOptions {
  /**
   * `padded`: RandomCrop after black padding by `cropPadding` pixels on each side. `resized`: RandomResizedCrop, a box of
   * `scale` of the image's area and of a width-to-height `ratio` becomes the square.
   */
  crop: 'none' | 'padded' | 'resized';
  cropPadding: number;
  scale: [number, number];
  ratio: [number, number];
  /** Left and right change places with probability ½. */
  flip: boolean;
  /** Magnitude of timm's RandAugment (`rand-m<n>-mstd<noise>-inc1`), 0 for none; at most 10 comes out. */
  randAugment: number;
  /** Ops drawn for an image, each of which takes place with probability ½. */
  randAugmentOps: number;
  /** Standard deviation of a magnitude. */
  randAugmentNoise: number;
  /** Probability of timm's random erasing: a box of the normalised square becomes normal noise. */
  erasing: number;
}

/**
 * `fast` may decode at a half, a quarter or an eighth of the size, leaves out what follows the wanted part, and resizes with
 * weights of 14 bits.
 */
export type DecodeMode = 'exact' | 'fast';

/** In pixels of the decoded image. */
export interface Region {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** A pass over a set without a network. */
export interface LoadPassOptions {
  data: DataHandle;
  transform: TransformOptions;
  /** Null as for evaluation. */
  augment: AugmentOptions | null;
  decode: DecodeMode;
  /** `uint8` is not normalised. */
  type: 'float32' | 'bfloat16' | 'uint8';
  batchSize: number;
  workers: number;
  shuffle: boolean;
  seed: number;
  epoch: number;
  rank: number;
  ranks: number;
  /** Every rank sees as many images, some of them twice. */
  evenShards: boolean;
  keepDecoded: number;
  passes: number;
  hash: boolean;
}

export interface LoadPassResult {
  /** Images that came out, of all passes. */
  count: number;
  skippedCount: number;
  skipped: SkippedImage[];
  seconds: number;
  /** That the consumer waited for batches. */
  waitSeconds: number;
  /** Of all workers together. */
  fetchSeconds: number;
  decodeSeconds: number;
  resizeSeconds: number;
  convertSeconds: number;
  /** Over labels and pixels, batch by batch; '' where no hash was asked for. */
  sha256: string;
}

/** An image that cannot be decoded. */
export interface SkippedImage {
  name: string;
  reason: string;
}

export interface HashPixelsOptions {
  data: DataHandle;
  transform: TransformOptions;
  workers: number;
}

export interface RandomBoxesOptions {
  width: number;
  height: number;
  scale: [number, number];
  ratio: [number, number];
  seed: number;
  epoch: number;
  count: number;
}

/** One op of RandAugment. */
export interface AugmentPixelsOptions {
  /** uint8 [size, size, 3]. */
  pixels: Uint8Array;
  size: number;
  /** A name that randomOps gives. */
  op: string;
  /** In Pillow's terms: degrees, bits kept, threshold, addition, factor, shear, or a share of the side. */
  parameter: number;
  filter: 'bilinear' | 'bicubic';
  /** Color of what lies outside, 0 to 255. */
  outside: [number, number, number];
}

export interface RandomOpsOptions {
  randAugment: number;
  randAugmentOps: number;
  randAugmentNoise: number;
  seed: number;
  epoch: number;
  count: number;
}

export interface RandomOpsResult {
  /** Of the ops. */
  names: string[];
  /**
   * [count, randAugmentOps, 4]: index of the op, magnitude, parameter, and 1 for bicubic or 0; the magnitude is -1 where the op
   * does not take place.
   */
  draws: Float64Array;
}

/** Random erasing of the image `index`. */
export interface ErasePixelsOptions {
  /** float32 [size, size, 3]. */
  pixels: Float32Array;
  size: number;
  erasing: number;
  seed: number;
  epoch: number;
  index: number;
}

export interface ErasePixelsResult {
  pixels: Float32Array;
  /** Of width 0 where nothing was erased. */
  box: Region;
}
