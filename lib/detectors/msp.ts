import { PLAIN } from '../features/pass.js';
import { eachRow, logitsOf, type RowDetector } from './detector.js';
import { maxSoftmax } from './softmax.js';

/**
 * Maximum softmax probability of the mean logits: max_c softmax(z̄)_c.
 * Source: Hendrycks & Gimpel, ICLR 2017, arXiv 1610.02136; fusion: Fang et al., IJCV 2024.
 */
export const msp: RowDetector = {
  name: 'msp',
  title: 'MSP',
  parameters: {},
  fusion: 'largest softmax probability of the mean logits',
  space: 'logits',
  needs: () => logitsOf(PLAIN),
  pass: () => PLAIN,
  temperature: () => 1,
  readsSoftmax: true,
  scoreRows: (block) => eachRow(block, (logits, offset, classes) => maxSoftmax(logits, offset, classes, 1)),
};
