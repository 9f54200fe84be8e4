import { readFileSync, writeFileSync } from 'node:fs';

export interface Tensor {
  dtype: 'F16' | 'F32' | 'F64' | 'I64';
  shape: number[];
  bytes: Buffer;
}

/** The tensors of a file, in its order. `bytes` are views of `file`: who changes them can write the whole again. */
export function readTensors(path: string): { file: Buffer; tensors: Map<string, Tensor> } {
  const file = readFileSync(path);
  const begin = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, begin));
  const tensors = new Map<string, Tensor>();
  for (const [name, { dtype, shape, data_offsets }] of Object.entries<Record<string, never>>(header)) {
    if (name === '__metadata__') continue;
    const [from, to] = data_offsets as unknown as [number, number];
    const bytes = file.subarray(begin + from, begin + to);
    tensors.set(name, { dtype: dtype as never, shape: shape as never, bytes });
  }
  return { file, tensors };
}

export function writeTensors(
  path: string,
  tensors: Record<string, Tensor>,
  metadata?: Readonly<Record<string, string>>,
): void {
  let end = 0;
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  writeFileSync(path, Buffer.concat([length, padded, ...Object.values(tensors).map(({ bytes }) => bytes)]));
}

export function floats({ dtype, bytes }: Tensor): Float32Array {
  if (dtype !== 'F32') throw new Error(`expected F32, found ${dtype}`);
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : Buffer.from(new Uint8Array(bytes).buffer);
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
}

export function float32(shape: number[], values: Float32Array): Tensor {
  return { dtype: 'F32', shape, bytes: Buffer.from(values.buffer, values.byteOffset, values.byteLength) };
}

export function int64(values: readonly number[]): Tensor {
  const array = BigInt64Array.from(values, BigInt);
  return { dtype: 'I64', shape: [values.length], bytes: Buffer.from(array.buffer) };
}

export function float64(shape: number[], values: Float64Array): Tensor {
  return { dtype: 'F64', shape, bytes: Buffer.from(values.buffer, values.byteOffset, values.byteLength) };
}

/** Numbers that float16 holds exactly: 0, or a normal number of at most 11 significant bits. */
export function float16(shape: number[], values: ArrayLike<number>): Tensor {
  const bits = Uint16Array.from(values, (value) => {
    if (value === 0) return 0;
    const exponent = Math.floor(Math.log2(Math.abs(value)));
    const fraction = (Math.abs(value) / 2 ** exponent - 1) * 1024;
    if (!Number.isInteger(fraction) || exponent < -14 || exponent > 15) throw new Error(`${value} is no float16`);
    return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | fraction;
  });
  return { dtype: 'F16', shape, bytes: Buffer.from(bits.buffer) };
}

export function doubles({ dtype, bytes }: Tensor): Float64Array {
  if (dtype !== 'F64') throw new Error(`expected F64, found ${dtype}`);
  return new Float64Array(new Uint8Array(bytes).buffer);
}
