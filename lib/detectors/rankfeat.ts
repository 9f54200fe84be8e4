import { RANK1 } from '../features/pass.js';
import { eachRow, logitsOf, type RowDetector, temperatureOf } from './detector.js';
import { logSumExp } from './softmax.js';

/**
 * Energy of the logits after the rank-1 parts (those of the largest singular values) of the last two stages' maps, as
 * matrices C × HW, were taken away: T·logsumexp(½(a + b)/T), a from the last stage, b from the one before it through what
 * follows. Source: Song et al., NeurIPS 2022, arXiv 2209.08590; fusion: Fang et al., IJCV 2024: mean of ½(a + b) over modes.
 */
export const rankfeat: RowDetector = {
  name: 'rankfeat',
  title: 'RankFeat',
  parameters: {
    temperature: { default: 1, above: 0, integer: false, description: 'temperature T that divides the logits' },
  },
  fusion: 'logsumexp of the mean of the logits without rank-1 parts',
  space: 'logits',
  needs: () => ({ ...logitsOf(RANK1), stages: true }),
  pass: () => RANK1,
  temperature: temperatureOf,
  readsSoftmax: false,
  scoreRows: (block, parameters) => {
    const temperature = temperatureOf(parameters);
    return eachRow(block, (logits, offset, classes) => logSumExp(logits, offset, classes, temperature));
  },
};
