/**
 * For each pair of raters the share of images on which they say the same; 1 on the diagonal, and for no image at all.
 *
 * @param said what each of M raters says of each of N images: a class, or a decision // [M, N]
 * @returns fractions // [M, M]
 */
export function agreementOf(said: readonly ArrayLike<number>[]): number[][] {
  const shares = said.map(() => new Array<number>(said.length).fill(1));
  for (const [i, a] of said.entries()) {
    for (const [j, b] of said.entries()) {
      if (j <= i || a.length === 0) continue;
      let same = 0;
      for (let k = 0; k < a.length; k++) if (a[k] === b[k]) same++;
      (shares[i] as number[])[j] = same / a.length;
      (shares[j] as number[])[i] = same / a.length;
    }
  }
  return shares;
}
