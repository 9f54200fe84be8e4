import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { RandomBoxesOptions } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';

type Quantity = 'left' | 'top' | 'right' | 'bottom' | 'width' | 'height' | 'area' | 'ratio';

interface Case {
  width: number;
  height: number;
  scale: [number, number];
  ratio: [number, number];
  /** The box that is taken where ten tries fail, and the share of boxes that are this one. */
  central: [number, number, number, number, number];
  /** Pairs of a value and the share of boxes at most as large. */
  distribution: Record<Quantity, [number, number][]>;
}

/** Made by make_box_fixtures.py with torchvision. */
interface Fixtures {
  draws: number;
  /** Largest difference of shares that a right implementation keeps; wrong ones are at twice that or more. */
  bound: number;
  wrong: Record<string, { statistic: number }>;
  cases: Case[];
}

const fixtures: Fixtures = JSON.parse(readFileSync('test/fixtures/boxes.json', 'utf8'));
/** Five standard deviations of the correlation of so many independent pairs. */
const CORRELATION = 5 / Math.sqrt(fixtures.draws);
const USUAL: RandomBoxesOptions = {
  width: 500,
  height: 375,
  scale: [0.08, 1],
  ratio: [3 / 4, 4 / 3],
  seed: 3,
  epoch: 0,
  count: fixtures.draws,
};

/** left, top, width, height of each box. */
function draw(options: Partial<RandomBoxesOptions>): [number, number, number, number][] {
  const flat = getAddon().randomBoxes({ ...USUAL, ...options });
  assert.ok(flat instanceof Int32Array);
  const boxes: [number, number, number, number][] = [];
  for (let i = 0; i < flat.length; i += 4) {
    boxes.push([...flat.subarray(i, i + 4)] as [number, number, number, number]);
  }
  return boxes;
}

function quantities({ width, height }: Case, [left, top, w, h]: [number, number, number, number]) {
  const far = { right: width - w - left, bottom: height - h - top };
  return { left, top, ...far, width: w, height: h, area: w * h, ratio: w / h };
}

/** The largest difference between the shares of draws and of the reference that are at most as large as a value. */
function distance(values: Float64Array, reference: readonly [number, number][]): number {
  const sorted = values.slice().sort();
  let at = 0;
  let largest = 0;
  for (const [value, share] of reference) {
    // Values in the file have six digits.
    while (at < sorted.length && (sorted[at] as number) <= value + 1e-5) at++;
    largest = Math.max(largest, Math.abs(at / sorted.length - share));
  }
  return largest;
}

function correlation(a: readonly number[], b: readonly number[]): number {
  const mean = (x: readonly number[]) => x.reduce((sum, v) => sum + v, 0) / x.length;
  const [ma, mb] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [da, db] = [(a[i] as number) - ma, (b[i] as number) - mb];
    ab += da * db;
    aa += da * da;
    bb += db * db;
  }
  return ab / Math.sqrt(aa * bb);
}

describe('the boxes of training are distributed as those of RandomResizedCrop', () => {
  it('the bound tells wrong implementations from right ones', () => {
    const wrong = Object.values(fixtures.wrong);
    assert.ok(wrong.length >= 12);
    for (const { statistic } of wrong) assert.ok(statistic > 2 * fixtures.bound);
  });

  for (const of of fixtures.cases) {
    const { width, height, scale, ratio, central, distribution } = of;
    const ratios = ratio.map((x) => x.toFixed(2)).join(' to ');
    it(`${width} x ${height}, scale ${scale.join(' to ')}, ratio ${ratios}`, () => {
      for (const seed of [0, 1]) {
        const boxes = draw({ width, height, scale, ratio, seed });
        assert.equal(boxes.length, fixtures.draws);
        for (const [left, top, w, h] of boxes) {
          const isInside = left >= 0 && top >= 0 && w >= 1 && h >= 1 && left + w <= width && top + h <= height;
          assert.ok(isInside, `${w} x ${h} at (${left}, ${top})`);
        }
        const rows = boxes.map((box) => quantities(of, box));
        for (const [name, reference] of Object.entries(distribution) as [Quantity, [number, number][]][]) {
          const found = distance(
            Float64Array.from(rows, (row) => row[name]),
            reference,
          );
          assert.ok(found < fixtures.bound, `${name}: shares differ by ${found}, seed ${seed}`);
        }
        const isCentral = (box: readonly number[]) => box.every((side, i) => side === central[i]);
        const share = boxes.filter(isCentral).length / boxes.length;
        assert.ok(Math.abs(share - central[4]) < fixtures.bound, `central boxes: ${share} for ${central[4]}`);
      }
    });
  }

  it('choices do not hang together, within a box nor between one image and the next', () => {
    const boxes = draw({});
    const size = boxes.map(([, , w, h]) => w * h);
    const shape = boxes.map(([, , w, h]) => Math.log(w / h));
    // Where the box could lie, from 0 to 1.
    const across = boxes.map(([left, , w]) => left / Math.max(1, 500 - w));
    const down = boxes.map(([, top, , h]) => top / Math.max(1, 375 - h));
    const series = { size, across, down, shape };
    for (const [name, values] of Object.entries(series)) {
      const next = correlation(values.slice(1), values.slice(0, -1));
      assert.ok(Math.abs(next) < CORRELATION, `${name} of an image and the next: ${next}`);
    }
    for (const [a, b] of [
      ['across', 'down'],
      ['across', 'size'],
      ['down', 'size'],
      ['across', 'shape'],
    ] as const) {
      const found = correlation(series[a], series[b]);
      assert.ok(Math.abs(found) < CORRELATION, `${a} and ${b}: ${found}`);
    }
  });

  it('depend on seed, epoch and image alone', () => {
    const boxes = draw({ count: 500 });
    assert.deepEqual(draw({ count: 100 }), boxes.slice(0, 100));
    for (const other of [{ seed: 4 }, { epoch: 1 }]) {
      const others = draw({ ...other, count: 500 });
      const same = others.filter((box, i) => box.every((side, k) => side === boxes[i]?.[k]));
      assert.ok(same.length < 5, `${same.length} of 500 boxes are the same with ${JSON.stringify(other)}`);
    }
  });
});
