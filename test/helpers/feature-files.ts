/** Feature files written byte by byte, as native code writes them, without native code. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { EXTRACTOR_VERSION, type FeatureSource, featureMetadata, PLAIN } from '../../lib/features/index.js';

export interface FeatureContent {
  logits: readonly (readonly number[])[];
  stage: readonly (readonly number[])[];
  labels: readonly number[];
  predictions: readonly number[];
}

export const CONTENT: FeatureContent = {
  logits: [
    [1, 2, 3],
    [4, 6, 5],
  ],
  stage: [
    [0.5, 1],
    [1.5, 2],
  ],
  labels: [2, 0],
  predictions: [2, 1],
};

/** Where features of three classes came from; `change` makes it another place. */
export function sourceOf(change: Partial<FeatureSource> = {}): FeatureSource {
  return {
    weights: createHash('sha256').update('weights').digest('hex'),
    fingerprint: createHash('sha256').update('images').digest('hex'),
    transform: { resize: 32, fit: 'both', filter: 'bilinear', crop: 32, mean: [0, 0, 0], std: [1, 1, 1] },
    precision: 'float32',
    extractor: EXTRACTOR_VERSION,
    arch: { name: 'cifar-resnet18', width: 4, classes: 3, dropout: 0 },
    pass: PLAIN,
    storage: 'float32',
    ...change,
  };
}

export function metadataOf(source: FeatureSource = sourceOf()): Record<string, string> {
  return { ...featureMetadata(source, { arch: 'cifar-resnet18-w4', data: 'cifar10' }), penultimate: 'stage1' };
}

/** Writes `<folder>/<key>.safetensors`, or another name, and gives the path. */
export function writeFeatures(
  folder: string,
  content: Partial<FeatureContent> = {},
  metadata: Record<string, string> = metadataOf(),
  name = `${metadata.key}.safetensors`,
): string {
  const { logits, stage, labels, predictions } = { ...CONTENT, ...content };
  const int64 = (values: readonly number[]) => Buffer.from(BigInt64Array.from(values, BigInt).buffer);
  const float32 = (rows: readonly (readonly number[])[]) => Buffer.from(Float32Array.from(rows.flat()).buffer);
  const tensors: [name: string, dtype: string, shape: number[], bytes: Buffer][] = [
    ['labels', 'I64', [labels.length], int64(labels)],
    ['predictions', 'I64', [predictions.length], int64(predictions)],
    ['logits', 'F32', [logits.length, logits[0]?.length ?? 0], float32(logits)],
    ['stage1', 'F32', [stage.length, stage[0]?.length ?? 0], float32(stage)],
  ];
  let end = 0;
  const entries = tensors.map(([tensor, dtype, shape, { length }]) => {
    end += length;
    return [tensor, { dtype, shape, data_offsets: [end - length, end] }];
  });
  const header = JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) });
  const head = Buffer.from(header.padEnd(Math.ceil(header.length / 8) * 8));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(head.length));
  const path = `${folder}/${name}`;
  writeFileSync(path, Buffer.concat([size, head, ...tensors.map((tensor) => tensor[3])]));
  return path;
}
