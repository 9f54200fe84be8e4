export { EXTRACTOR_VERSION, type FeatureSource, featureKey } from './key.js';
export { distinctPasses, type Pass, PLAIN, passId, perturbed, RANK1 } from './pass.js';
export { FeatureFile, FeatureStore } from './store.js';
