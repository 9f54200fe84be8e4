import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FeatureFile } from '../../lib/features/store.js';
import { getAddon } from '../../lib/native/load.js';
import { extractOptions, quiet } from './native.js';

/** Extracts one set through one checkpoint of a CIFAR ResNet-18 and opens the file. */
export async function extractOne(...options: Parameters<typeof extractOptions>): Promise<FeatureFile> {
  await getAddon().extract(extractOptions(...options), quiet).done;
  return FeatureFile.open(options[2]);
}

/** What makes feature files of the plain pass in a folder; `logits` row by row, and a feature of one zero. */
export function featureFiles(folder: string) {
  return (
    name: string,
    logits: number[][],
    labels: number[],
    metadata: Record<string, string> = {},
  ): { plain: string } => {
    const rows = logits.length;
    const parts = [
      { name: 'logits', dtype: 'F32', shape: [rows, logits[0]?.length ?? 0], data: Float32Array.from(logits.flat()) },
      { name: 'stage5', dtype: 'F32', shape: [rows, 1], data: new Float32Array(rows) },
      { name: 'labels', dtype: 'I64', shape: [labels.length], data: BigInt64Array.from(labels, BigInt) },
      { name: 'predictions', dtype: 'I64', shape: [rows], data: new BigInt64Array(rows) },
    ];
    const header: Record<string, unknown> = {
      __metadata__: { key: 'ab'.repeat(32), penultimate: 'stage5', ...metadata },
    };
    let at = 0;
    for (const { name: tensor, dtype, shape, data } of parts) {
      header[tensor] = { dtype, shape, data_offsets: [at, at + data.byteLength] };
      at += data.byteLength;
    }
    const json = Buffer.from(JSON.stringify(header));
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(json.length));
    const path = join(folder, `${name}.safetensors`);
    writeFileSync(path, Buffer.concat([size, json, ...parts.map(({ data }) => new Uint8Array(data.buffer))]));
    return { plain: path };
  };
}
