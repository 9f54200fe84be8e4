/** Files of arrays as numpy, MATLAB and Python's pickle write them, right or wrong, written apart from native/data. */
import { deflateSync } from 'node:zlib';

type Bytes = Uint8Array | string;

/** Strings are Latin-1: a character a byte. */
export function bytes(...parts: Bytes[]): Buffer {
  return Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)));
}

export function little(value: number, size: 2 | 4 | 8): Buffer {
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
  return out.subarray(0, size);
}

const typed = (data: ArrayBufferView) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

/** A .npy file of version 1.0. */
export function npy(type: string, shape: string, data: ArrayBufferView, order = 'False'): Buffer {
  const header = `{'descr': '${type}', 'fortran_order': ${order}, 'shape': ${shape}, }\n`;
  return bytes('\x93NUMPY\x01\x00', little(header.length, 2), header, typed(data));
}

export interface MatVariable {
  name: string;
  shape: number[];
  data: Uint8Array | Float64Array;
  compressed?: boolean;
}

/** A MAT-file of version 5, little-endian. */
export function mat(...variables: MatVariable[]): Buffer {
  const element = (type: number, data: Uint8Array) =>
    bytes(little(type, 4), little(data.length, 4), data, Buffer.alloc((8 - (data.length % 8)) % 8));
  const parts = variables.map(({ name, shape, data, compressed }) => {
    const real = data instanceof Float64Array;
    const flags = element(6, bytes(little(real ? 6 : 9, 4), little(0, 4)));
    const sides = element(5, bytes(...shape.map((side) => little(side, 4))));
    const body = bytes(flags, sides, element(1, bytes(name)), element(real ? 9 : 2, typed(data)));
    const matrix = element(14, body);
    if (!compressed) return matrix;
    const packed = deflateSync(matrix);
    return bytes(little(15, 4), little(packed.length, 4), packed);
  });
  return bytes('MATLAB 5.0 MAT-file'.padEnd(124), little(0x0100, 2), 'IM', ...parts);
}

/** Opcodes of protocol 2 and above. */
export const pickle = {
  whole: (body: Bytes) => bytes('\x80\x02', body, '.'),
  text: (value: string) => bytes('X', little(value.length, 4), value),
  bytes: (value: Bytes) => bytes('B', little(value.length, 4), value),
  list: (values: number[]) => bytes('](', ...values.map((value) => bytes('J', little(value, 4))), 'e'),
  texts: (values: string[]) => bytes('](', ...values.map(pickle.text), 'e'),
  dictionary: (entries: Record<string, Bytes>) =>
    bytes('}(', ...Object.entries(entries).map(([key, value]) => bytes(pickle.text(key), value)), 'u'),
  /** As Python 3 writes bytes in protocol 2: Latin-1 text, in UTF-8. */
  encoded: (value: Uint8Array) => {
    const text = Buffer.from(Buffer.from(value).toString('latin1'), 'utf8');
    return bytes('c_codecs\nencode\n', 'X', little(text.length, 4), text, pickle.text('latin1'), '\x86R');
  },
  type: (name: string) => bytes('cnumpy\ndtype\n', pickle.text(name), '\x89\x88\x87R'),
  sides: (shape: number[]) => bytes('(', ...shape.map((side) => bytes('J', little(side, 4))), 't'),
  array: (shape: number[], data: Bytes, type = 'u1', byColumns = false) =>
    bytes(
      'cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85',
      pickle.bytes('b'),
      '\x87R(K\x01',
      pickle.sides(shape),
      pickle.type(type),
      byColumns ? '\x88' : '\x89',
      data,
      'tb',
    ),
  /** As numpy writes a contiguous array in protocol 5. */
  buffer: (shape: number[], data: Bytes) =>
    bytes(
      'cnumpy._core.numeric\n_frombuffer\n(',
      bytes('\x96', little(data.length, 8), data),
      pickle.type('u1'),
      pickle.sides(shape),
      pickle.text('C'),
      'tR',
    ),
};
