import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { PLAIN } from '../features/pass.js';
import type { Clamp } from '../native/contract.js';
import { numberOf, type Parameters, type SetDetector } from './detector.js';
import { type LogisticModel, predictLogistic } from './logistic.js';
import { fitLogisticCv, type LogisticCv } from './logistic-cv.js';
import type { Adversarial, NetworkHooks, Networks, StageGaussians, TuningRecord } from './networks.js';

/** The first so many test images fit the regression, the next so many choose the magnitude. */
const HALF = 500;
/** Images of a side that five folds need. */
const LEAST = 5;

/**
 * Minus the probability of OoD that a logistic regression gives for the stages' Mahalanobis distances. Each stage is
 * averaged over space; class means and one covariance come from the training data. For each stage the image takes a step
 * towards the closest class, x̃ = x − magnitude·sign(∇_x ½d²), sign(0) = +1, and scores max_c −½d_c²(x̃). The
 * regression is fitted on test images and their adversarial copies. Source: Lee et al., NeurIPS 2018, arXiv 1807.03888;
 * fusion: Fang et al., IJCV 2024: stages' features are averaged over the members, and one gradient goes through all of them.
 *
 * `clamp: normalized` cuts the adversarial copies to [0, 1] after normalisation, which changes most of their pixels. It is
 * the default because the paper's numbers were made so; `pixels` keeps to what images can be.
 */
export const mahalanobis: SetDetector = {
  name: 'mahalanobis',
  title: 'Mahalanobis',
  parameters: {
    magnitude: {
      default: 'tuned',
      words: ['tuned'],
      min: 0,
      integer: false,
      description: 'step in normalised pixels; tuned: as "tune mahalanobis" chose for these modes, else 0',
    },
    step: {
      default: 0.05,
      suites: { imagenet: 0.001 },
      min: 0,
      integer: false,
      description: "the adversarial copies' step in normalised pixels",
    },
    clamp: {
      default: 'normalized',
      choices: ['pixels', 'normalized', 'none'],
      description: 'to what adversarial copies are cut: possible pixels, [0, 1] after normalisation, or nothing',
    },
  },
  fusion: "distances of the mean of the stages' features over members, one gradient through all of them",
  space: 'features',
  needs: () => ({ passes: [PLAIN], penultimate: false, stages: true, fit: 'train' }),
  magnitudeOf: async (members, parameters, networks) =>
    magnitudeOf(parameters, await networks.tuning(members, adversarialOf(parameters))),
  dependsOn: async (members, parameters, networks) => {
    const tuned = await networks.tuning(members, adversarialOf(parameters));
    return tuned ? { best: tuned.best, magnitudes: tuned.magnitudes.map((fit) => ({ ...fit })) } : null;
  },
  scoreSets: async ({ members, sets, train, parameters, hooks, services: { networks } }) => {
    if (!networks) {
      const why = 'its regression is fitted on adversarial copies of test images';
      throw new ConfigError(`mahalanobis needs the networks themselves, as ${why}; found feature files alone.`);
    }
    const adversarial = adversarialOf(parameters);
    const tuned = await networks.tuning(members, adversarial);
    const magnitude = magnitudeOf(parameters, tuned);
    const found = tuned?.magnitudes.find((fit) => fit.magnitude === magnitude);
    using _held = networks.hold();
    // The statistics, two parts of the regression, and the sets: all at once or one by one.
    const share = shares(hooks, 1 + (found ? 0 : 2) + (magnitude === 0 ? 1 : sets.length));
    const gaussians = await networks.gaussians(members, train, share());
    const model = found
      ? { coefficients: Float64Array.from(found.coefficients), intercept: found.intercept }
      : await fitHere(networks, gaussians, sets[0]?.name ?? '', magnitude, adversarial, share);
    if (model.coefficients.length !== gaussians.stages.length) {
      const what = `expected ${gaussians.stages.length} coefficients, one a stage, found ${model.coefficients.length}`;
      throw new ModeEnsembleError('E_DATA', `mahalanobis: the parameters tuned for ${members.join('+')}: ${what}.`);
    }
    const scores: Float64Array[] = [];
    if (magnitude === 0) {
      const files = sets.map((set) => set.files);
      scores.push(...(await networks.storedScores(gaussians, files, share())));
    } else {
      for (const { name } of sets) {
        const request = { gaussians, set: name, first: 0, count: 0, magnitudes: [magnitude], adversarial: null };
        scores.push(...(await networks.stageScores(request, share())));
      }
    }
    return sets.map((set, index) => {
      const own = scores[index] as Float64Array;
      const rows = own.length / gaussians.stages.length;
      if (rows !== set.count) {
        throw new ModeEnsembleError(
          'E_DATA',
          `mahalanobis: expected ${set.count} scores of ${set.name}, found ${rows}.`,
        );
      }
      return predictLogistic(model, own).map((probability) => 0 - probability);
    });
  },
};

function magnitudeOf(parameters: Parameters, tuned: TuningRecord | undefined): number {
  return parameters.magnitude === 'tuned' ? (tuned?.best ?? 0) : numberOf(parameters, 'magnitude');
}

export function adversarialOf(parameters: Parameters): Adversarial {
  return { step: numberOf(parameters, 'step'), clamp: parameters.clamp as Clamp };
}

/** Where the two halves are among the test images: their first places and how many each has. */
export function halvesOf(networks: Networks, set: string): { fit: number; validation: number; count: number } {
  const images = networks.count(set);
  const count = Math.min(HALF, Math.floor(images / 2));
  if (count < LEAST) {
    const least = `expected at least ${2 * LEAST} test images, found ${images} in ${set}`;
    throw new ModeEnsembleError('E_DATA', `mahalanobis: its regression is fitted on two halves of ${LEAST}: ${least}.`);
  }
  if (count < HALF) {
    networks.tell(
      'warning',
      `mahalanobis: expected ${2 * HALF} test images for its regression, found ${images} in ${set}; takes halves of ${count}.`,
    );
  }
  return { fit: 0, validation: count, count };
}

/**
 * The regression of one magnitude.
 *
 * @param clean stages' scores of the images // [N, stages]
 * @param adversarial of their copies, which stand for OoD: label 1
 */
export function fitRegression(clean: Float64Array, adversarial: Float64Array, stages: number): LogisticCv {
  const values = new Float64Array(clean.length + adversarial.length);
  values.set(clean);
  values.set(adversarial, clean.length);
  const labels = new Uint8Array(values.length / stages);
  labels.fill(1, clean.length / stages);
  return fitLogisticCv(values, stages, labels);
}

/** Where nothing was tuned: the regression of a magnitude, on the same half on which tuning fits it. */
async function fitHere(
  networks: Networks,
  gaussians: StageGaussians,
  set: string,
  magnitude: number,
  adversarial: Adversarial,
  share: () => NetworkHooks,
): Promise<LogisticModel> {
  const { fit, count } = halvesOf(networks, set);
  networks.tell(
    'info',
    `mahalanobis: no parameters tuned for these modes at magnitude ${magnitude} are known; ` +
      `its regression is fitted on ${count} test images and their adversarial copies ("tune mahalanobis" chooses a magnitude)`,
  );
  const request = { gaussians, set, first: fit, count, magnitudes: [magnitude] };
  const [clean] = await networks.stageScores({ ...request, adversarial: null }, share());
  const [copies] = await networks.stageScores({ ...request, adversarial }, share());
  return fitRegression(clean as Float64Array, copies as Float64Array, gaussians.stages.length);
}

/** Hooks for one of `parts` jobs after the other, whose progress is then that of a whole. */
export function shares(hooks: NetworkHooks, parts: number): () => NetworkHooks {
  let before = 0;
  const began = performance.now();
  return () => {
    const begun = before++;
    return {
      ...hooks,
      onProgress: (event) => {
        if (event.total <= 0) return;
        // In thousandths of a job: what the jobs count differs.
        const done = Math.floor(1000 * (begun + event.done / event.total));
        const rate = (1000 * done) / Math.max(1, performance.now() - began);
        hooks.onProgress?.({ ...event, done, total: 1000 * parts, rate });
      },
    };
  };
}
