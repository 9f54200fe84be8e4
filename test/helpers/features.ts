import { FeatureFile } from '../../lib/features/store.js';
import { getAddon } from '../../lib/native/load.js';
import { extractOptions, quiet } from './native.js';

/** Extracts one set through one checkpoint of a CIFAR ResNet-18 and opens the file. */
export async function extractOne(...options: Parameters<typeof extractOptions>): Promise<FeatureFile> {
  await getAddon().extract(extractOptions(...options), quiet).done;
  return FeatureFile.open(options[2]);
}
