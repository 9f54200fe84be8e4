import { FeatureFile } from '../../lib/features/store.js';
import type { DataHandle, ExtractOptions, Precision } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { CIFAR_TRANSFORM, quiet } from './native.js';

/** Extracts one set through one checkpoint of a CIFAR ResNet-18 and opens the file. */
export async function extractOne(
  data: DataHandle,
  checkpoint: string,
  output: string,
  width: number,
  overrides: Partial<ExtractOptions> = {},
): Promise<FeatureFile> {
  const precision: Precision = 'float32';
  await getAddon().extract(
    {
      arch: { name: 'cifar-resnet18', width, classes: 10 },
      members: [{ checkpoint, output, metadata: { key: 'test' } }],
      data,
      transform: CIFAR_TRANSFORM,
      batchSize: 32,
      precision,
      threads: 2,
      workers: 1,
      ...overrides,
    },
    quiet,
  ).done;
  return FeatureFile.open(output);
}
