import { type Detector, scoreMeanLogits } from './detector.js';
import { maxAndRest } from './softmax.js';

/**
 * Negative free energy of the mean logits: T·logsumexp(z̄/T).
 * Source: Liu et al., NeurIPS 2020, arXiv 2010.03759; fusion: Fang et al., IJCV 2024.
 */
export const energy: Detector = {
  name: 'energy',
  title: 'Energy',
  needs: { logits: true, penultimate: false, fit: 'none' },
  parameters: {
    temperature: { default: 1, above: 0, integer: false, description: 'temperature T that divides the logits' },
  },
  fusion: 'logsumexp of the mean logits',
  score: ({ sets, parameters }) => {
    const temperature = parameters.temperature as number;
    return scoreMeanLogits(sets, (logits, offset, classes) => {
      const { max, rest } = maxAndRest(logits, offset, classes, temperature);
      return max + temperature * Math.log1p(rest);
    });
  },
};
