/** Ways to bring the members of an ensemble together, against cases worked out by hand. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { getDetector, type RowDetector, resolveParameters } from '../../lib/detectors/index.js';
import { FUSE_LOGITS, FUSE_SCORES, FUSION_WORDS, FUSIONS, type FuseLogits } from '../../lib/ensemble/index.js';

const [softmax, paper] = [FUSE_LOGITS.softmax as FuseLogits, FUSE_LOGITS.paper as FuseLogits];
const { scores, standardised } = FUSE_SCORES as Required<typeof FUSE_SCORES>;

function near(found: ArrayLike<number>, expected: readonly number[]): void {
  assert.equal(found.length, expected.length);
  for (const [i, value] of expected.entries()) {
    assert.ok(Math.abs((found[i] as number) - value) < 1e-7, `${i}: ${found[i]}, expected ${value}`);
  }
}

describe('fusion of logits', () => {
  // softmax(ln 3, 0) = (3/4, 1/4) and softmax(0, 0) = (1/2, 1/2): their mean is (5/8, 3/8).
  const ln3 = Math.log(3);
  const members = [Float32Array.of(ln3, 0, 0, 0), Float32Array.of(0, 0, 0, ln3)];

  it('softmax: the logits of the mean probabilities, row by row', () => {
    near(softmax(members, 2, 1), [5 / 8, 3 / 8, 3 / 8, 5 / 8].map(Math.log));
  });

  it('softmax: at the temperature at which they are read', () => {
    const warm = members.map((member) => member.map((value) => 1000 * value));
    const fused = softmax(warm, 2, 1000);
    near(
      fused.map((value) => value / 1000),
      [5 / 8, 3 / 8, 3 / 8, 5 / 8].map(Math.log),
    );
    const odin = getDetector('odin') as RowDetector;
    const block = { first: 0, rows: 2, classes: 2, logits: fused, featureNorms: [] };
    near(odin.scoreRows(block, resolveParameters(odin)), [5 / 8, 5 / 8]);
  });

  it('softmax: is another one than that of the mean logits', () => {
    // Mean logits (ln √3, 0): √3/(1+√3).
    const msp = getDetector('msp') as RowDetector;
    const of = (logits: Float64Array) =>
      msp.scoreRows({ first: 0, rows: 2, classes: 2, logits, featureNorms: [] }, {})[0] as number;
    near([of(paper(members, 2, 1)), of(softmax(members, 2, 1))], [Math.sqrt(3) / (1 + Math.sqrt(3)), 5 / 8]);
  });

  it('softmax: members that are sure of different classes, and of the same', () => {
    near(softmax([Float32Array.of(1000, -1000), Float32Array.of(-1000, 1000)], 2, 1), [Math.log(0.5), Math.log(0.5)]);
    const sure = softmax([Float32Array.of(1000, -1000), Float32Array.of(900, -900)], 2, 1);
    assert.deepEqual(sure, Float64Array.of(0, Number.NEGATIVE_INFINITY));
    const msp = getDetector('msp') as RowDetector;
    const block = { first: 0, rows: 1, classes: 2, logits: sure, featureNorms: [] };
    assert.deepEqual(msp.scoreRows(block, {}), Float64Array.of(1));
  });

  it('one mode is itself, by each of them', () => {
    const own = Float32Array.of(0.1, -2.5, 7, 3);
    for (const fuse of Object.values(FUSE_LOGITS)) assert.deepEqual(fuse([own], 2, 3), Float64Array.from(own));
  });
});

describe('fusion of scores', () => {
  it('scores: their mean, image by image', () => {
    assert.deepEqual(scores([Float64Array.of(1, -3, 0), Float64Array.of(2, 5, 0)], []), Float64Array.of(1.5, 1, 0));
    assert.deepEqual(scores([Float64Array.of(0.1, 0.7)], []), Float64Array.of(0.1, 0.7));
  });

  it('standardised: by mean and deviation of each mode’s scores of the in-distribution set', () => {
    // a: mean 2, deviation 1; b: mean 30, deviation 10.
    const inScores = [Float64Array.of(1, 3, 1, 3), Float64Array.of(20, 40, 20, 40)];
    near(standardised(inScores, inScores), [-1, 1, -1, 1]);
    // (0 − 2)/1 and (10 − 30)/10 give −2; (5 − 2)/1 and (20 − 30)/10 give (3 − 1)/2.
    near(standardised([Float64Array.of(0, 5), Float64Array.of(10, 20)], inScores), [-2, 1]);
  });

  it('standardised: a mode whose scores are a hundred times as large counts no more', () => {
    const inScores = [Float64Array.of(0, 1), Float64Array.of(0, 100)];
    const found = standardised([Float64Array.of(1, 0), Float64Array.of(0, 100)], inScores);
    near(found, [0, 0]);
  });

  it('standardised: one mode alone keeps its order', () => {
    near(standardised([Float64Array.of(4, 2, 8)], [Float64Array.of(1, 3)]), [2, 0, 6]);
  });

  it('standardised: a mode with equal scores is only shifted', () => {
    const inScores = [Float64Array.of(7, 7, 7), Float64Array.of(0, 0, 0)];
    assert.deepEqual(standardised(inScores, inScores), Float64Array.of(0, 0, 0));
    assert.deepEqual(standardised([Float64Array.of(9), Float64Array.of(-1)], inScores), Float64Array.of(0.5));
  });
});

it('each fusion acts on logits or on scores, and has words', () => {
  for (const name of FUSIONS) {
    assert.equal(Number(name in FUSE_LOGITS) + Number(name in FUSE_SCORES), 1, name);
    assert.ok(FUSION_WORDS[name].length > 10);
  }
});
