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
