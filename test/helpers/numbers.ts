import assert from 'node:assert/strict';

/** max |a − b| / max |b| */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  assert.equal(a.length, b.length);
  let difference = 0;
  let scale = 0;
  for (let i = 0; i < b.length; i++) {
    const distance = Math.abs((a[i] as number) - (b[i] as number));
    // Math.max would pass over nothing, but a NaN must not look like agreement.
    if (Number.isNaN(distance)) return Number.NaN;
    difference = Math.max(difference, distance);
    scale = Math.max(scale, Math.abs(b[i] as number));
  }
  return difference / scale;
}
