import { perturbed } from '../features/pass.js';
import { eachRow, logitsOf, numberOf, type Parameters, type RowDetector, temperatureOf } from './detector.js';
import { maxSoftmax } from './softmax.js';

/**
 * Largest softmax probability at temperature T of the image after a step that lowers the loss of the predicted class:
 * x̃ = x − ε·sign(∇_x CE(z/T, argmax z)), sign(0) = +1, on normalised pixels.
 * Source: Liang et al., ICLR 2018, arXiv 1706.02690; fusion: Fang et al., IJCV 2024: each mode perturbs by its own gradient,
 * and the logits z_m(x̃_m) are averaged. `gradient: accumulated` is a quirk of that paper's code, which never clears the
 * gradient between the modes of an ensemble: mode j takes the sign of g_1 + … + g_j.
 */
export const odin: RowDetector = {
  name: 'odin',
  title: 'ODIN',
  parameters: {
    temperature: { default: 1000, above: 0, integer: false, description: 'temperature T that divides the logits' },
    magnitude: {
      default: 0.0014,
      suites: { imagenet: 0 },
      min: 0,
      integer: false,
      description: 'step ε in normalised pixels; 0 for none',
    },
    gradient: {
      default: 'own',
      choices: ['own', 'accumulated'],
      description: "each mode's own, or the sum of those up to it",
    },
  },
  fusion: "largest softmax probability of the mean logits, each mode's of the image that its own gradient perturbed",
  space: 'logits',
  // Of each mode by itself: what is accumulated is another thing in each ensemble, see Services.together.
  needs: (parameters) => logitsOf({ ...passOf(parameters), gradient: 'own' }),
  pass: passOf,
  temperature: temperatureOf,
  readsSoftmax: true,
  scoreRows: (block, parameters) => {
    const temperature = temperatureOf(parameters);
    return eachRow(block, (logits, offset, classes) => maxSoftmax(logits, offset, classes, temperature));
  },
};

function passOf(parameters: Parameters) {
  const gradient = parameters.gradient === 'accumulated' ? 'accumulated' : 'own';
  return perturbed(temperatureOf(parameters), numberOf(parameters, 'magnitude'), gradient);
}
