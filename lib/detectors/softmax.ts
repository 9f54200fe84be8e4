/**
 * max_c z_c, and `rest`, Σ exp((z_c − max)/T) over all classes but one that holds the maximum: what softmax and logsumexp
 * need. Nothing overflows, since every exponent is at most 0.
 */
export function maxAndRest(
  logits: Float64Array,
  offset: number,
  classes: number,
  temperature: number,
): { max: number; rest: number } {
  let at = offset;
  for (let i = offset + 1; i < offset + classes; i++) {
    if ((logits[i] as number) > (logits[at] as number)) at = i;
  }
  const max = logits[at] as number;
  let rest = 0;
  for (let i = offset; i < offset + classes; i++) {
    if (i !== at) rest += Math.exp(((logits[i] as number) - max) / temperature);
  }
  return { max, rest };
}

/**
 * max_c softmax(z/T)_c, computed as 1/(1 + rest), rest = Σ exp((z_c − max)/T) over the other classes. Both steps are
 * monotone in float64, so the order of two images is never turned round: at worst two probabilities closer to 1 than
 * 2^-53 become equal, and ties are exact in the metrics. Summing the small terms apart from the 1 keeps those that would
 * vanish beside it one by one.
 */
export function maxSoftmax(logits: Float64Array, offset: number, classes: number, temperature: number): number {
  const { max, rest } = maxAndRest(logits, offset, classes, temperature);
  // An infinite logit has no softmax; without this it would pass for certainty.
  return Number.isFinite(max) ? 1 / (1 + rest) : Number.NaN;
}

/** T·logsumexp(z/T). */
export function logSumExp(logits: Float64Array, offset: number, classes: number, temperature: number): number {
  const { max, rest } = maxAndRest(logits, offset, classes, temperature);
  return max + temperature * Math.log1p(rest);
}

/** ‖C·softmax(z/T) − 1‖₁. */
export function distanceFromUniform(
  logits: Float64Array,
  offset: number,
  classes: number,
  temperature: number,
): number {
  const { max, rest } = maxAndRest(logits, offset, classes, temperature);
  const scale = classes / (1 + rest);
  let sum = 0;
  for (let i = offset; i < offset + classes; i++) {
    sum += Math.abs(scale * Math.exp(((logits[i] as number) - max) / temperature) - 1);
  }
  return Number.isFinite(max) ? sum : Number.NaN;
}
