import { type Detector, scoreMeanLogits } from './detector.js';
import { maxAndRest } from './softmax.js';

/**
 * Maximum softmax probability of the mean logits: max_c softmax(z̄)_c.
 * Source: Hendrycks & Gimpel, ICLR 2017, arXiv 1610.02136; fusion: Fang et al., IJCV 2024.
 *
 * Computed as 1/(1 + rest), rest = Σ exp(z̄_c − max) over the other classes. Both steps are monotone in float64, so the
 * order of two images is never turned round: at worst two probabilities closer to 1 than 2^-53 become equal, and ties
 * are exact in the metrics. Summing the small terms apart from the 1 keeps those that would vanish beside it one by one.
 */
export const msp: Detector = {
  name: 'msp',
  title: 'MSP',
  needs: { logits: true, penultimate: false, fit: 'none' },
  parameters: {},
  fusion: 'largest softmax probability of the mean logits',
  score: ({ sets }) =>
    scoreMeanLogits(sets, (logits, offset, classes) => {
      const { max, rest } = maxAndRest(logits, offset, classes, 1);
      // An infinite logit has no softmax; without this it would pass for certainty.
      return Number.isFinite(max) ? 1 / (1 + rest) : Number.NaN;
    }),
};
