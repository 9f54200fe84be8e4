import { createHash } from 'node:crypto';

const WORD = 2 ** 32;

/**
 * Adds one to `tally[i]` for as many uniformly drawn places i as the tally has: one bootstrap resample, as multiplicities.
 *
 * The generator is xoshiro128** 1.1 (Blackman & Vigna, ACM TOMS 47(4), 2021, arXiv 1805.01407); its state is the first
 * 16 bytes of SHA-256 of the stream's name, so that streams are independent of each other and of the order of use.
 * Places are drawn without bias (Lemire, ACM TOMACS 29(1), 2019, arXiv 1805.10941): the high word of draw × n, where
 * a low word below 2^32 mod n is drawn again.
 *
 * @param stream name of the stream: the same name, the same places
 * @param tally zeros; a place is drawn more than 255 times with a probability below 1e-400 // [n], 1 ≤ n < 2^32
 */
export function drawMultiplicities(stream: string, tally: Uint8Array): void {
  drawFrom(stateOf(stream), tally.length, tally.length, (place) => {
    tally[place] = (tally[place] as number) + 1;
  });
}

/** Four words of state. */
export function stateOf(stream: string): Uint32Array {
  const digest = createHash('sha256').update(stream).digest();
  return Uint32Array.from({ length: 4 }, (_, word) => digest.readUInt32LE(4 * word));
}

/** Calls `visit` with `draws` places from 0 to n − 1. The state is left as it was. */
export function drawFrom(state: Uint32Array, draws: number, n: number, visit: (place: number) => void): void {
  let [a, b, c, d] = state as unknown as [number, number, number, number];
  const refused = WORD % n;
  for (let done = 0; done < draws; ) {
    const times5 = Math.imul(b, 5);
    const word = Math.imul((times5 << 7) | (times5 >>> 25), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = (d << 11) | (d >>> 21);
    if (Math.imul(word, n) >>> 0 < refused) continue;
    // Exact below n = 2^21; above, rounding can move a place by one where a product lies within 2^11 of a multiple of 2^32.
    visit(Math.floor((word * n) / WORD));
    done++;
  }
}
