/**
 * Writes safetensors files, byte for byte as native/checkpoint/safetensors.cc does: metadata sorted by key, then the tensors in
 * their order, without spaces, filled up with blanks to a multiple of 8 bytes.
 */
import { writeAtomic } from '../config/files.js';

/** Bytes an element takes, of the types that are written. */
const SIZES = { F16: 2, F32: 4, F64: 8, I64: 8 } as const;
export type WrittenType = keyof typeof SIZES;

export interface TensorPlan {
  name: string;
  dtype: WrittenType;
  shape: readonly number[];
}

/** Bytes of a tensor. */
export function tensorBytes({ dtype, shape }: Pick<TensorPlan, 'dtype' | 'shape'>): number {
  return shape.reduce((product, side) => product * side, SIZES[dtype]);
}

/** The 8 bytes of its length, and the header. */
export function safetensorsHead(
  tensors: readonly TensorPlan[],
  metadata: Readonly<Record<string, string>>,
  atLeast = 0,
): Buffer {
  const sorted = Object.keys(metadata).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const about = sorted.map((key) => `${JSON.stringify(key)}:${JSON.stringify(metadata[key])}`);
  let at = 0;
  const entries = tensors.map(({ name, dtype, shape }) => {
    const [begin, end] = [at, at + tensorBytes({ dtype, shape })];
    at = end;
    return `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(',')}],"data_offsets":[${begin},${end}]}`;
  });
  const text = `{${[...(about.length > 0 ? [`"__metadata__":{${about.join(',')}}`] : []), ...entries].join(',')}}`;
  const length = Math.ceil(Math.max(Buffer.byteLength(text), atLeast - 8) / 8) * 8;
  const head = Buffer.alloc(8 + length, ' ');
  head.writeBigUInt64LE(BigInt(length));
  head.write(text, 8);
  return head;
}

/**
 * Writes a file whole or not at all.
 *
 * @param write writes the tensors' bytes, one after the other, through `append`
 * @throws ModeEnsembleError E_IO
 */
export async function writeSafetensors(
  path: string,
  head: Uint8Array,
  write: (append: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  await writeAtomic(path, async (handle) => {
    await handle.writeFile(head);
    await write((bytes) => handle.writeFile(bytes));
  });
}

/** Vectors of float64, by name. */
export async function writeVectors(
  path: string,
  vectors: ReadonlyMap<string, Float64Array>,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const plans = [...vectors].map(([name, { length }]): TensorPlan => ({ name, dtype: 'F64', shape: [length] }));
  await writeSafetensors(path, safetensorsHead(plans, metadata), async (append) => {
    for (const values of vectors.values()) {
      await append(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    }
  });
}
