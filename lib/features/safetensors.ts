/**
 * A strict reader for safetensors (https://github.com/huggingface/safetensors#format): 8 bytes little-endian header
 * length, a JSON header, then the tensors' bytes. Everything the header says is checked before memory is taken for it.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { endianness } from 'node:os';
import { ModeEnsembleError } from '../config/errors.js';
import { ioError } from '../config/files.js';

/** Bytes an element takes, for every type the format knows whole bytes for. */
const DTYPES: Readonly<Record<string, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
};

/** The format's own limit. */
const MAX_HEADER = 100_000_000;
/** One read asks for at most this much: some systems refuse more than 2 GiB at once. */
const MAX_READ = 1 << 30;

export interface TensorInfo {
  name: string;
  dtype: string;
  shape: number[];
  /** Bytes from the beginning of the file. */
  begin: number;
  end: number;
}

/** A file whose header was found sound. Nothing stays open; `identity` tells when the file is no longer the same. */
export interface Safetensors {
  path: string;
  tensors: ReadonlyMap<string, TensorInfo>;
  metadata: Readonly<Record<string, string>>;
  /** Follows the file where another one with the same key and header took its place. */
  identity: string;
  /** SHA-256 of the header. */
  header: string;
}

/**
 * Reads and checks the header.
 *
 * @throws ModeEnsembleError E_DATA naming file and byte or field when the file is damaged; E_IO when it cannot be read
 */
export async function openSafetensors(path: string): Promise<Safetensors> {
  return withFile(path, async (file, size, identity) => {
    if (size < 8) throw damaged(path, `expected at least 8 bytes, found ${size}`);
    const bytes = await readHeader(file, path, size);
    const header = parseHeader(path, bytes);
    const { tensors, metadata } = checkHeader(path, header, 8 + bytes.byteLength, size);
    return { path, tensors, metadata, identity, header: sha256(bytes) };
  });
}

async function readHeader(file: FileHandle, path: string, size: number): Promise<ArrayBuffer> {
  const length = Number(Buffer.from(await readRange(file, path, 0, 8)).readBigUInt64LE());
  if (length > size - 8 || length > MAX_HEADER) {
    const most = Math.min(size - 8, MAX_HEADER);
    throw damaged(path, `byte 0: expected a header of at most ${most} bytes, found a length of ${length}`);
  }
  return readRange(file, path, 8, 8 + length);
}

function sha256(bytes: ArrayBuffer): string {
  return createHash('sha256').update(new Uint8Array(bytes)).digest('hex');
}

/** One float32 or float16 tensor, as float32 and a copy of its own. @throws ModeEnsembleError E_DATA, E_IO */
export async function readFloat32(file: Safetensors, name: string): Promise<Float32Array> {
  const { dtype, begin, end } = floatInfo(file, name);
  return toFloat32(await readTensor(file, begin, end, DTYPES[dtype] as number), dtype);
}

/** One float64 tensor. @throws ModeEnsembleError E_DATA, E_IO */
export async function readFloat64(file: Safetensors, name: string, dimensions?: number): Promise<Float64Array> {
  const { begin, end } = tensorInfo(file, name, 'F64', dimensions);
  return new Float64Array(await readTensor(file, begin, end, 8));
}

/**
 * Some rows of a float32 or float16 tensor, as float32.
 *
 * @param first the first row, of `count` // [N, ...] → [count, ...]
 * @throws ModeEnsembleError E_DATA, E_IO; RangeError where there are no such rows
 */
export async function readRows(file: Safetensors, name: string, first: number, count: number): Promise<Float32Array> {
  const { dtype, shape, begin } = floatInfo(file, name);
  const [rows = 0, ...row] = shape;
  if (first < 0 || count < 0 || first + count > rows) {
    throw new RangeError(`${file.path}: "${name}" has ${rows} rows, not ${first} to ${first + count}.`);
  }
  const item = DTYPES[dtype] as number;
  const bytes = row.reduce((product, side) => product * side, item);
  return toFloat32(await readTensor(file, begin + first * bytes, begin + (first + count) * bytes, item), dtype);
}

/** Types of which readElements makes numbers. */
export const NUMBERS: readonly string[] = ['F16', 'F32', 'F64', 'I64'];

/**
 * Some elements of a tensor, as they lie one after another, whatever its shape: so that a tensor of any shape can be read
 * through in bounded memory.
 *
 * @param tensor of a type in NUMBERS
 * @param first the first element, of `count`
 * @throws ModeEnsembleError E_DATA, E_IO
 */
export async function readElements(
  file: Safetensors,
  { dtype, begin }: TensorInfo,
  first: number,
  count: number,
): Promise<Float32Array | Float64Array | BigInt64Array> {
  const item = DTYPES[dtype] as number;
  const bytes = await readTensor(file, begin + first * item, begin + (first + count) * item, item);
  if (dtype === 'I64') return new BigInt64Array(bytes);
  return dtype === 'F64' ? new Float64Array(bytes) : toFloat32(bytes, dtype);
}

/** Elements of a tensor. */
export function elementsOf({ shape }: TensorInfo): number {
  return shape.reduce((product, side) => product * side, 1);
}

/** The entry of a float32 or float16 tensor. */
export function floatInfo(file: Safetensors, name: string, dimensions?: number): TensorInfo {
  return tensorInfo(file, name, file.tensors.get(name)?.dtype === 'F16' ? 'F16' : 'F32', dimensions);
}

function toFloat32(bytes: ArrayBuffer, dtype: string): Float32Array {
  if (dtype === 'F32') return new Float32Array(bytes);
  halves ??= Float32Array.from({ length: 1 << 16 }, (_, bits) => halfToNumber(bits));
  const items = new Uint16Array(bytes);
  const values = new Float32Array(items.length);
  for (let i = 0; i < items.length; i++) values[i] = halves[items[i] as number] as number;
  return values;
}

/** The value of each of the 65,536 float16; made when it is first needed. */
let halves: Float32Array | undefined;

/** IEEE 754 binary16: sign, five bits of exponent with a bias of 15, ten bits of fraction. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** One int64 tensor whose values fit into 32 bits, as labels do. @throws ModeEnsembleError E_DATA, E_IO */
export async function readInt64(file: Safetensors, name: string): Promise<Int32Array> {
  const { begin, end } = tensorInfo(file, name, 'I64');
  const values = new BigInt64Array(await readTensor(file, begin, end, 8));
  const result = new Int32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = Number(values[i]);
    if (value !== (value | 0)) {
      throw damaged(file.path, `element ${i} of "${name}": expected a 32-bit number, found ${values[i]}`);
    }
    result[i] = value;
  }
  return result;
}

/** The tensor's entry, checked for type and number of dimensions. */
export function tensorInfo(file: Safetensors, name: string, dtype: string, dimensions?: number): TensorInfo {
  const info = file.tensors.get(name);
  if (!info)
    throw damaged(file.path, `expected a tensor "${name}", found ${[...file.tensors.keys()].join(', ') || 'none'}`);
  if (info.dtype !== dtype) throw damaged(file.path, `tensor "${name}": expected ${dtype}, found ${info.dtype}`);
  if (dimensions !== undefined && info.shape.length !== dimensions) {
    throw damaged(file.path, `tensor "${name}": expected ${dimensions} dimension(s), found shape [${info.shape}]`);
  }
  return info;
}

/** Bytes of a tensor, items of `item` bytes in this machine's order. */
async function readTensor(file: Safetensors, begin: number, end: number, item: number): Promise<ArrayBuffer> {
  return withFile(file.path, async (handle, size, identity) => {
    await followIdentity(file, handle, size, identity);
    const bytes = await readRange(handle, file.path, begin, end);
    if (endianness() === 'BE') {
      const view = Buffer.from(bytes);
      if (item === 2) view.swap16();
      else if (item === 4) view.swap32();
      else view.swap64();
    }
    return bytes;
  });
}

/**
 * Another process that makes the same features at the same time puts its file in the place of the one that is being read.
 * A key stands for a content, so a file with the same header, key included, is as good. Any other change is an error.
 */
async function followIdentity(file: Safetensors, handle: FileHandle, size: number, identity: string): Promise<void> {
  if (identity === file.identity) return;
  const isSame =
    file.metadata.key !== undefined && size >= 8 && sha256(await readHeader(handle, file.path, size)) === file.header;
  if (!isSame) throw damaged(file.path, 'it was replaced or changed while it was being read');
  file.identity = identity;
}

async function withFile<T>(
  path: string,
  use: (file: FileHandle, size: number, identity: string) => Promise<T>,
): Promise<T> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    const stat = await file.stat();
    if (!stat.isFile()) throw damaged(path, 'expected a file');
    return await use(file, stat.size, `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeMs}`);
  } catch (error) {
    throw ioError(error, path, 'read');
  } finally {
    await file?.close();
  }
}

async function readRange(file: FileHandle, path: string, begin: number, end: number): Promise<ArrayBuffer> {
  const buffer = new ArrayBuffer(end - begin);
  let at = 0;
  while (at < buffer.byteLength) {
    const length = Math.min(MAX_READ, buffer.byteLength - at);
    const { bytesRead } = await file.read(new Uint8Array(buffer, at, length), 0, length, begin + at);
    if (bytesRead === 0) throw damaged(path, `byte ${begin + at}: the file ends here; expected data up to byte ${end}`);
    at += bytesRead;
  }
  return buffer;
}

function parseHeader(path: string, bytes: ArrayBuffer): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw damaged(path, `byte 8: the header is not valid JSON (${(error as Error).message})`);
  }
  if (!isObject(header)) throw damaged(path, 'byte 8: expected the header to be a JSON object');
  return header;
}

function checkHeader(path: string, header: Record<string, unknown>, start: number, size: number) {
  const tensors = new Map<string, TensorInfo>();
  let metadata: Record<string, string> = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') metadata = checkMetadata(path, entry);
    else tensors.set(name, checkEntry(path, name, entry, start, size));
  }
  let at = start;
  for (const tensor of [...tensors.values()].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (tensor.begin !== at) {
      const what = tensor.begin > at ? 'a gap' : 'an overlap';
      throw damaged(
        path,
        `tensor "${tensor.name}": expected to begin at byte ${at}, found ${what}, byte ${tensor.begin}`,
      );
    }
    at = tensor.end;
  }
  if (at !== size) throw damaged(path, `expected ${at} bytes, found ${size}`);
  return { tensors, metadata };
}

function checkMetadata(path: string, entry: unknown): Record<string, string> {
  if (!isObject(entry)) throw damaged(path, 'field __metadata__: expected an object of strings');
  for (const [key, value] of Object.entries(entry)) {
    if (typeof value !== 'string') throw damaged(path, `field __metadata__.${key}: expected a string`);
  }
  return entry as Record<string, string>;
}

function checkEntry(path: string, name: string, entry: unknown, start: number, size: number): TensorInfo {
  const fail = (field: string, expected: string, found: unknown) =>
    damaged(path, `tensor "${name}", ${field}: expected ${expected}, found ${JSON.stringify(found)}`);
  if (!isObject(entry)) throw fail('entry', 'an object', entry);
  const { dtype, shape, data_offsets: offsets } = entry;
  const bytes = typeof dtype === 'string' && Object.hasOwn(DTYPES, dtype) ? DTYPES[dtype] : undefined;
  if (bytes === undefined) throw fail('dtype', `one of ${Object.keys(DTYPES).join(', ')}`, dtype);
  if (!Array.isArray(shape) || !shape.every(isSize)) throw fail('shape', 'a list of whole numbers', shape);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    throw fail('data_offsets', 'two whole numbers', offsets);
  }
  const [begin, end] = offsets as [number, number];
  const length = shape.reduce((product: number, side: number) => product * side, bytes);
  if (!Number.isSafeInteger(length)) throw fail('shape', 'a size below 2^53 bytes', shape);
  if (end - begin !== length) throw fail('data_offsets', `${length} bytes for shape [${shape}]`, offsets);
  if (start + end > size) throw fail('data_offsets', `an end within the file's ${size - start} bytes of data`, offsets);
  return { name, dtype: dtype as string, shape: shape as number[], begin: start + begin, end: start + end };
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function damaged(path: string, what: string): ModeEnsembleError {
  return new ModeEnsembleError('E_DATA', `${path} is not a whole safetensors file: ${what}.`);
}
