import { PLAIN } from '../features/pass.js';
import { eachRow, logitsOf, type RowDetector, temperatureOf } from './detector.js';
import { logSumExp } from './softmax.js';

/**
 * Negative free energy of the mean logits: T·logsumexp(z̄/T).
 * Source: Liu et al., NeurIPS 2020, arXiv 2010.03759; fusion: Fang et al., IJCV 2024.
 */
export const energy: RowDetector = {
  name: 'energy',
  title: 'Energy',
  parameters: {
    temperature: { default: 1, above: 0, integer: false, description: 'temperature T that divides the logits' },
  },
  fusion: 'logsumexp of the mean logits',
  space: 'logits',
  needs: () => logitsOf(PLAIN),
  pass: () => PLAIN,
  temperature: temperatureOf,
  readsSoftmax: false,
  scoreRows: (block, parameters) => {
    const temperature = temperatureOf(parameters);
    return eachRow(block, (logits, offset, classes) => logSumExp(logits, offset, classes, temperature));
  },
};
