/** Training's random choices in our own words, to compare the addon with. */
import type { AugmentPixelsOptions, RandomOpsOptions } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';

/** timm's, in its order. */
export const AUGMENT_OPS = [
  ...['AutoContrast', 'Equalize', 'Invert', 'Rotate', 'Posterize', 'Solarize', 'SolarizeAdd', 'Color', 'Contrast'],
  ...['Brightness', 'Sharpness', 'ShearX', 'ShearY', 'TranslateXRel', 'TranslateYRel'],
];

const MASK = 2n ** 64n - 1n;

function mix(word: bigint): bigint {
  let z = ((word ^ (word >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK;
  return z ^ (z >> 31n);
}

/** native/runtime/random.h */
export class RandomStream {
  #state: bigint;

  constructor(seed: number, name: string, a: number, b: number) {
    let hash = 0xcbf29ce484222325n;
    for (const char of Buffer.from(name)) hash = ((hash ^ BigInt(char)) * 0x100000001b3n) & MASK;
    this.#state = BigInt(seed);
    for (const word of [hash, BigInt(a), BigInt(b)]) {
      this.#state = mix(this.#state ^ mix((word + 0x9e3779b97f4a7c15n) & MASK));
    }
  }

  next(): bigint {
    this.#state = (this.#state + 0x9e3779b97f4a7c15n) & MASK;
    return mix(this.#state);
  }

  below(n: number): number {
    return Number(((this.next() >> 32n) * BigInt(n)) >> 32n);
  }
}

/** The padded random crop and the flip of an image, [side, side, 3]. */
export function cropped(pixels: Uint8Array, side: number, padding: number, stream: RandomStream): Uint8Array {
  const right = stream.below(2 * padding + 1) - padding;
  const down = stream.below(2 * padding + 1) - padding;
  const flip = stream.next() >> 63n === 1n;
  const out = new Uint8Array(pixels.length);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const fromX = (flip ? side - 1 - x : x) + right;
      const fromY = y + down;
      if (Math.min(fromX, fromY) < 0 || Math.max(fromX, fromY) >= side) continue;
      const from = 3 * (fromY * side + fromX);
      out.set(pixels.subarray(from, from + 3), 3 * (y * side + x));
    }
  }
  return out;
}

export interface DrawnOp {
  op: string;
  /** Undefined where the op does not take place. */
  magnitude: number | undefined;
  parameter: number;
  filter: 'bilinear' | 'bicubic';
}

/** The ops of the images 0, 1, 2, … */
export function drawnOps(options: Partial<RandomOpsOptions>): DrawnOp[][] {
  const all = { randAugment: 9, randAugmentOps: 2, randAugmentNoise: 0.5, seed: 3, epoch: 0, count: 1, ...options };
  const { names, draws } = getAddon().randomOps(all);
  return Array.from({ length: all.count }, (_, image) =>
    Array.from({ length: all.randAugmentOps }, (_, k) => {
      const [op, magnitude, parameter, bicubic] = draws.subarray(4 * (image * all.randAugmentOps + k)) as unknown as [
        number,
        number,
        number,
        number,
      ];
      return {
        op: names[op] as string,
        magnitude: magnitude < 0 ? undefined : magnitude,
        parameter,
        filter: bicubic === 1 ? 'bicubic' : 'bilinear',
      };
    }),
  );
}

export function withOps(
  pixels: Uint8Array,
  size: number,
  ops: readonly DrawnOp[],
  outside: AugmentPixelsOptions['outside'],
): Uint8Array {
  return ops
    .filter(({ magnitude }) => magnitude !== undefined)
    .reduce((now, { op, parameter, filter }) => {
      return getAddon().augmentPixels({ pixels: now, size, op, parameter, filter, outside });
    }, pixels);
}

/** float32, as torchvision's ToTensor and Normalize compute it. */
export function normalised(pixels: Uint8Array, mean: readonly number[], std: readonly number[]): Float32Array {
  const { fround } = Math;
  return Float32Array.from(pixels, (value, i) => {
    const shifted = fround(fround(value / 255) - fround(mean[i % 3] as number));
    return shifted / fround(std[i % 3] as number);
  });
}

/** Rounded to the nearest, halves to even. */
export function toBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(bits, (word) => Math.floor((word + 0x7fff + ((word >>> 16) & 1)) / 0x10000));
}
