export { EXTRACTOR_VERSION, type FeatureSource, featureKey } from './key.js';
export { FeatureFile, FeatureStore } from './store.js';
