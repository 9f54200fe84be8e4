import { PLAIN } from '../features/pass.js';
import { eachRow, type RowDetector, temperatureOf } from './detector.js';
import { distanceFromUniform } from './softmax.js';

/**
 * L1 norm of the gradient of Σ_c −log softmax(z/T)_c with respect to the last layer's weights.
 * Source: Huang et al., NeurIPS 2021, arXiv 2110.00218; fusion: Fang et al., IJCV 2024: the loss is that of the mean logits,
 * the norm is taken for each mode's last layer, and the score is their mean.
 *
 * No backward pass is needed. With z = Wf + b and p = softmax(z̄/T) the gradient of the loss with respect to z̄ is
 * (C·p − 1)/T, z̄ holds z_m/M, and z_m's gradient with respect to W_m is an outer product with f_m, whose L1 norm is the product
 * of the L1 norms: ‖C·p − 1‖₁ · mean_m ‖f_m‖₁ / (M·T).
 */
export const gradnorm: RowDetector = {
  name: 'gradnorm',
  title: 'GradNorm',
  parameters: {
    temperature: { default: 1, above: 0, integer: false, description: 'temperature T that divides the logits' },
  },
  fusion: "gradient of the mean logits' loss with respect to each mode's last layer; mean of the norms",
  space: 'logits',
  needs: () => ({ passes: [PLAIN], penultimate: true, stages: false, fit: 'none' }),
  pass: () => PLAIN,
  temperature: temperatureOf,
  readsSoftmax: true,
  scoreRows: (block, parameters) => {
    const temperature = temperatureOf(parameters);
    const members = block.featureNorms.length;
    return eachRow(block, (logits, offset, classes, row) => {
      let norms = 0;
      for (const norm of block.featureNorms) norms += norm[row] as number;
      const distance = distanceFromUniform(logits, offset, classes, temperature);
      return (distance * (norms / members)) / (members * temperature);
    });
  },
};
