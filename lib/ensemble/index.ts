export { meanOverModes } from './fuse.js';
export { joinMembers, MEMBER_SEPARATOR, resolveSubset, resolveSubsets, subsetsOfSize } from './subsets.js';
