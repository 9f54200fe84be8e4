export {
  chooseStored,
  listStored,
  removeStored,
  requireStore,
  type Selection,
  type StoredFile,
  type StoredState,
  type StoredVerdict,
  type UsedContent,
  verifyStored,
  wholeKey,
} from './inventory.js';
export { EXTRACTOR_VERSION, type FeatureSource, featureKey, featureMetadata } from './key.js';
export { type About, KINDS, knownName } from './kinds.js';
export {
  distinctPasses,
  formatPass,
  formatPassId,
  type Pass,
  PLAIN,
  parsePass,
  passId,
  perturbed,
  RANK1,
} from './pass.js';
export { FeatureFile, FeatureStore } from './store.js';
