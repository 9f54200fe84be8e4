export { meanOverModes } from './fuse.js';
export { FUSE_LOGITS, FUSE_SCORES, FUSION_WORDS, FUSIONS, type FuseLogits, type FusionName } from './fusion.js';
export {
  joinMembers,
  MEMBER_SEPARATOR,
  resolveSubset,
  resolveSubsets,
  subsetsOfAllSizes,
  subsetsOfSize,
} from './subsets.js';
