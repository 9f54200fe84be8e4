import { meanOverModes } from './fuse.js';

/** How the members of an ensemble are brought together; `paper` is each detector's own rule (Fang et al., IJCV 2024). */
export const FUSIONS = ['paper', 'scores', 'standardised', 'softmax'] as const;
export type FusionName = (typeof FUSIONS)[number];

/** One line to print beside the numbers, where it is not the paper's. */
export const FUSION_WORDS: Readonly<Record<FusionName, string>> = {
  paper: "each detector's own rule (Fang et al., IJCV 2024)",
  scores: 'mean of the scores of the modes',
  standardised:
    "mean of the scores of the modes, each standardised on the mode's scores of the in-distribution test set",
  softmax: 'mean of softmax instead of the mean of logits',
};

/** Brings the logits of members together, row by row, in such a form that softmax(z/T) is what is meant. */
export type FuseLogits = (members: readonly Float32Array[], classes: number, temperature: number) => Float64Array;

/**
 * Logits whose softmax at temperature T is the mean of the members' softmax at T: T·log((1/M) Σ_m softmax(z_m/T)).
 *
 * @param members // M × [N, C]
 */
export const logMeanSoftmax: FuseLogits = (members, classes, temperature) => {
  const first = members[0] as Float32Array;
  if (members.length === 1) return new Float64Array(first);
  const sum = new Float64Array(first.length);
  const row = new Float64Array(classes);
  for (const member of members) {
    for (let begin = 0; begin < sum.length; begin += classes) {
      let max = Number.NEGATIVE_INFINITY;
      for (let c = 0; c < classes; c++) max = Math.max(max, member[begin + c] as number);
      let total = 0;
      for (let c = 0; c < classes; c++) {
        row[c] = Math.exp(((member[begin + c] as number) - max) / temperature);
        total += row[c] as number;
      }
      for (let c = 0; c < classes; c++) sum[begin + c] = (sum[begin + c] as number) + (row[c] as number) / total;
    }
  }
  return sum.map((value) => temperature * Math.log(value / members.length));
};

/** Fusions that act on the logits. */
export const FUSE_LOGITS: Readonly<Partial<Record<FusionName, FuseLogits>>> = {
  paper: (members) => meanOverModes(members),
  softmax: logMeanSoftmax,
};

/** Brings the scores of members together. `inScores` are those of the in-distribution test set, one array a member. */
export type FuseScores = (scores: readonly Float64Array[], inScores: readonly Float64Array[]) => Float64Array;

/** Fusions that act on the scores of the single modes. */
export const FUSE_SCORES: Readonly<Partial<Record<FusionName, FuseScores>>> = {
  scores: (scores) => meanOf(scores),
  standardised: (scores, inScores) =>
    meanOf(scores.map((own, index) => standardise(own, inScores[index] as Float64Array))),
};

function meanOf(members: readonly Float64Array[]): Float64Array {
  const first = members[0] as Float64Array;
  return first.map((_, i) => members.reduce((sum, member) => sum + (member[i] as number), 0) / members.length);
}

/** (s − mean)/std of the reference scores; where these are all equal, s − mean. */
function standardise(scores: Float64Array, reference: Float64Array): Float64Array {
  const mean = reference.reduce((sum, value) => sum + value, 0) / reference.length;
  const square = reference.reduce((sum, value) => sum + (value - mean) ** 2, 0) / reference.length;
  const std = square > 0 ? Math.sqrt(square) : 1;
  return scores.map((value) => (value - mean) / std);
}
