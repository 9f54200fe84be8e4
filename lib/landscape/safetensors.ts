/** Safetensors of float64 numbers, which is what surfaces are (lib/features/safetensors.ts reads them). */
import { endianness } from 'node:os';

export interface NumberTensor {
  shape: readonly number[];
  data: Float64Array;
}

/** The bytes of a file; equal content gives equal bytes. */
export function encodeNumbers(
  tensors: Readonly<Record<string, NumberTensor>>,
  metadata: Readonly<Record<string, string>>,
): Buffer {
  const sorted = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  const header: Record<string, unknown> = { __metadata__: Object.fromEntries(sorted) };
  let end = 0;
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype: 'F64', shape, data_offsets: [end, end + data.byteLength] };
    end += data.byteLength;
  }
  const text = Buffer.from(JSON.stringify(header));
  // Padded with spaces, so that the numbers begin at a multiple of 8.
  const head = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, ' ');
  head.writeBigUInt64LE(BigInt(head.length - 8));
  text.copy(head, 8);
  const parts = Object.values(tensors).map(({ data }) => {
    const bytes = Buffer.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return endianness() === 'BE' ? bytes.swap64() : bytes;
  });
  return Buffer.concat([head, ...parts]);
}
