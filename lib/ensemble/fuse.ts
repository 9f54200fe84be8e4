import { ModeEnsembleError } from '../config/errors.js';

/**
 * Mean over the modes: z̄ = (1/M) Σ_m z_m (Fang et al. 2024), in float64, added in the order given. One mode gives its
 * own values unchanged.
 *
 * @param members one array a mode, all of the same size // M × [N, C]
 * @throws ModeEnsembleError E_DATA where sizes differ or there is no mode
 */
export function meanOverModes(members: readonly Float32Array[]): Float64Array {
  const [first, ...others] = members;
  if (!first) throw new ModeEnsembleError('E_DATA', 'A mean over modes needs at least one mode.');
  const sum = new Float64Array(first); // not from(), which goes through an iterator
  for (const [index, member] of others.entries()) {
    if (member.length !== sum.length) {
      throw new ModeEnsembleError(
        'E_DATA',
        `Modes of an ensemble must agree in size: the first has ${sum.length} numbers, number ${index + 2} has ${member.length}.`,
      );
    }
    for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (member[i] as number);
  }
  if (members.length > 1) for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) / members.length;
  return sum;
}
