import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { Region } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { AUGMENT_OPS, type DrawnOp, drawnOps } from '../helpers/augment.js';

/** The largest difference between the share of values up to each, and what `share` says it is. */
function distance(values: readonly number[], share: (value: number) => number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const n = sorted.length;
  return sorted.reduce((most, value, i) => {
    const expected = share(value);
    return Math.max(most, Math.abs((i + 1) / n - expected), Math.abs(i / n - expected));
  }, 0);
}

/** Of 10,000 images, each deviation is below five of its standard deviations. */
describe("RandAugment draws as timm's rand-m9-mstd0.5-inc1", () => {
  const IMAGES = 10_000;
  const near = (count: number, of: number, share: number, what: string) => {
    const deviation = Math.sqrt((share * (1 - share)) / of);
    assert.ok(Math.abs(count / of - share) < 5 * deviation, `${what}: ${count} of ${of}, expected a share of ${share}`);
  };
  // Parameters that a magnitude stands for; of some the sign is drawn.
  const bySign = (size: (m: number) => number, middle = 0) => ({
    of: (m: number) => [middle - size(m), middle + size(m)],
    signed: true,
  });
  const single = (value: (m: number) => number) => ({ of: (m: number) => [value(m)], signed: false });
  const none = single(() => 0);
  const enhanced = bySign((m) => (m / 10) * 0.9, 1);
  const sheared = bySign((m) => (m / 10) * 0.3);
  const moved = bySign((m) => (m / 10) * 0.45);
  const RULES: Record<string, { of: (m: number) => number[]; signed: boolean }> = {
    AutoContrast: none,
    Equalize: none,
    Invert: none,
    Rotate: bySign((m) => (m / 10) * 30),
    Posterize: single((m) => 4 - Math.floor((m / 10) * 4)),
    Solarize: single((m) => 256 - Math.floor((m / 10) * 256)),
    SolarizeAdd: single((m) => Math.floor((m / 10) * 110)),
    Color: enhanced,
    Contrast: enhanced,
    Brightness: enhanced,
    Sharpness: enhanced,
    ShearX: sheared,
    ShearY: sheared,
    TranslateXRel: moved,
    TranslateYRel: moved,
  };

  for (const seed of [0, 1]) {
    const images = () => drawnOps({ seed, count: IMAGES });

    it(`each op as often as any other, and half of them take place, seed ${seed}`, () => {
      const ops = images().flat();
      assert.equal(ops.length, 2 * IMAGES);
      for (const name of AUGMENT_OPS) {
        const drawn = ops.filter(({ op }) => op === name);
        near(drawn.length, ops.length, 1 / 15, name);
        near(drawn.filter(({ magnitude }) => magnitude !== undefined).length, drawn.length, 0.5, `${name} takes place`);
      }
    });

    it(`the two ops of an image are independent, seed ${seed}`, () => {
      const pairs = images() as [DrawnOp, DrawnOp][];
      near(pairs.filter(([a, b]) => a.op === b.op).length, IMAGES, 1 / 15, 'the same op twice');
      const both = pairs.filter(([a, b]) => a.magnitude !== undefined && b.magnitude !== undefined);
      near(both.length, IMAGES, 0.25, 'both take place');
      near(
        both.filter(([a, b]) => (a.magnitude as number) > (b.magnitude as number)).length,
        both.length,
        0.4997,
        'the first is larger',
      );
    });

    it(`magnitudes are normal and kept to 10, parameters follow from them, seed ${seed}`, () => {
      const ops = images()
        .flat()
        .filter(({ magnitude }) => magnitude !== undefined) as { op: string; magnitude: number; parameter: number }[];
      const magnitudes = ops.map(({ magnitude }) => magnitude);
      assert.ok(magnitudes.every((m) => m > 6 && m <= 10));
      // Shares of a normal distribution up to so many standard deviations.
      for (const [deviations, share] of [
        [-2, 0.02275],
        [-1, 0.158655],
        [-0.5, 0.308538],
        [0, 0.5],
        [0.5, 0.691462],
        [1, 0.841345],
        [1.5, 0.933193],
      ] as const) {
        near(magnitudes.filter((m) => m <= 9 + 0.5 * deviations).length, ops.length, share, `${deviations} deviations`);
      }
      near(magnitudes.filter((m) => m === 10).length, ops.length, 0.02275, 'kept to 10');
      for (const [name, { of, signed }] of Object.entries(RULES)) {
        const drawn = ops.filter(({ op }) => op === name);
        for (const { magnitude, parameter } of drawn) {
          const fits = of(magnitude).some((value) => Math.abs(value - parameter) < 1e-12);
          assert.ok(fits, `${name} at ${magnitude}: ${parameter}`);
        }
        const low = drawn.filter(({ magnitude, parameter }) => parameter < (of(magnitude)[1] as number) - 1e-12).length;
        if (signed) near(low, drawn.length, 0.5, `${name}: the lower of two`);
      }
    });

    it(`filters are drawn, seed ${seed}`, () => {
      const taking = images()
        .flat()
        .filter(({ magnitude }) => magnitude !== undefined);
      near(taking.filter(({ filter }) => filter === 'bicubic').length, taking.length, 0.5, 'bicubic');
    });
  }

  it('without noise every magnitude is the same, and depends on nothing else', () => {
    const ops = drawnOps({ randAugment: 12, randAugmentNoise: 0, randAugmentOps: 3, count: 200 });
    const magnitudes = ops.flat().map(({ magnitude }) => magnitude);
    assert.deepEqual(new Set(magnitudes), new Set([undefined, 10]));
    assert.deepEqual(drawnOps({ count: 100 }), drawnOps({ count: 200 }).slice(0, 100));
    assert.notDeepEqual(drawnOps({ count: 100 }), drawnOps({ count: 100, epoch: 1 }));
    assert.notDeepEqual(drawnOps({ count: 100 }), drawnOps({ count: 100, seed: 4 }));
  });
});

describe("erasing is timm's with one box of normal noise for each pixel", () => {
  const SIDE = 64;
  const IMAGES = 10_000;
  const black = new Float32Array(3 * SIDE * SIDE);
  const erased = (index: number, change: object = {}) =>
    getAddon().erasePixels({ pixels: black, size: SIDE, erasing: 0.25, seed: 3, epoch: 0, index, ...change });
  const boxes: Region[] = [];
  before(() => {
    for (let i = 0; i < IMAGES; i++) {
      const { box } = erased(i);
      if (box.width > 0) boxes.push(box);
    }
  });
  /** Kolmogorov's bound, which a right implementation crosses once in 2,000 times. */
  const bound = () => 2 / Math.sqrt(boxes.length);

  /** All pairs of an area and an aspect on a fine grid, each as likely as any other, and the boxes that fit. */
  const grid = (): [height: number, width: number][] => {
    const steps = 600;
    const found: [number, number][] = [];
    for (let i = 0; i < steps; i++) {
      const area = SIDE * SIDE * (0.02 + (1 / 3 - 0.02) * ((i + 0.5) / steps));
      for (let k = 0; k < steps; k++) {
        const aspect = 0.3 ** (1 - (2 * (k + 0.5)) / steps);
        const height = Math.round(Math.sqrt(area * aspect));
        const width = Math.round(Math.sqrt(area / aspect));
        if (height < SIDE && width < SIDE) found.push([height, width]);
      }
    }
    return found;
  };

  it('a quarter of the images', () => {
    const deviation = Math.sqrt(0.25 * 0.75 * IMAGES);
    assert.ok(Math.abs(boxes.length - 0.25 * IMAGES) < 5 * deviation, `${boxes.length} of ${IMAGES}`);
    assert.equal(erased(0, { erasing: 0 }).box.width, 0);
    const all = Array.from({ length: 200 }, (_, i) => erased(i, { erasing: 1 }).box.width);
    assert.ok(all.every((width) => width > 0));
  });

  it('areas and aspects are as they follow from 0.02 to 1/3 and 0.3 to 1/0.3', () => {
    const expected = grid();
    const quantities: Record<string, (height: number, width: number) => number> = {
      area: (height, width) => height * width,
      aspect: (height, width) => height / width,
      height: (height) => height,
      width: (_height, width) => width,
    };
    for (const [name, quantity] of Object.entries(quantities)) {
      const reference = expected.map(([height, width]) => quantity(height, width)).sort((a, b) => a - b);
      const values = boxes.map(({ height, width }) => quantity(height, width)).sort((a, b) => a - b);
      let [most, at, to] = [0, 0, 0];
      for (const value of [...new Set([...values, ...reference])].sort((a, b) => a - b)) {
        while (at < values.length && (values[at] as number) <= value) at++;
        while (to < reference.length && (reference[to] as number) <= value) to++;
        most = Math.max(most, Math.abs(at / values.length - to / reference.length));
      }
      assert.ok(most < bound(), `${name}: shares differ by ${most}`);
    }
    const areas = boxes.map(({ height, width }) => (height * width) / SIDE ** 2);
    assert.ok(Math.min(...areas) > 0.015 && Math.max(...areas) < 0.345);
  });

  it('boxes lie anywhere inside', () => {
    for (const { left, top, width, height } of boxes) {
      assert.ok(left >= 0 && top >= 0 && left + width <= SIDE && top + height <= SIDE);
    }
    // Whole places, evenly spread between each and the next.
    const across = boxes.map(({ left, width }, i) => (left + ((i * 0.618034) % 1)) / (SIDE - width + 1));
    const down = boxes.map(({ top, height }, i) => (top + ((i * 0.618034) % 1)) / (SIDE - height + 1));
    for (const [name, places] of Object.entries({ across, down })) {
      const most = distance(places, (value) => value);
      assert.ok(most < bound(), `${name}: shares differ by ${most}`);
    }
  });

  it('every value of the box is independent normal noise, and no other changes', () => {
    const values: number[] = [];
    const ones = new Float32Array(3 * SIDE * SIDE).fill(1000);
    for (let index = 0; index < 20; index++) {
      const { pixels, box } = erased(index, { erasing: 1, pixels: ones });
      for (let y = 0; y < SIDE; y++) {
        for (let x = 0; x < SIDE; x++) {
          const inside = x >= box.left && x < box.left + box.width && y >= box.top && y < box.top + box.height;
          const three = pixels.subarray(3 * (y * SIDE + x), 3 * (y * SIDE + x) + 3);
          assert.ok(three.every((value) => (value === 1000) !== inside));
          if (inside) values.push(...three);
        }
      }
    }
    const n = values.length;
    assert.ok(n > 20_000);
    const moment = (power: number) => values.reduce((sum, value) => sum + value ** power, 0) / n;
    // Of a standard normal number, with the variances of such means: 1, 2, 15, 96.
    for (const [power, expected, variance] of [
      [1, 0, 1],
      [2, 1, 2],
      [3, 0, 15],
      [4, 3, 96],
    ] as const) {
      const found = moment(power);
      assert.ok(Math.abs(found - expected) < 5 * Math.sqrt(variance / n), `moment ${power}: ${found}`);
    }
    for (const lag of [1, 2, 3]) {
      const together = values.slice(lag).reduce((sum, value, i) => sum + value * (values[i] as number), 0) / (n - lag);
      assert.ok(Math.abs(together) < 5 / Math.sqrt(n), `values ${lag} apart: ${together}`);
    }
  });

  it('depends on seed, epoch and image alone', () => {
    assert.deepEqual(erased(5, { erasing: 1 }), erased(5, { erasing: 1 }));
    for (const other of [{ seed: 4 }, { epoch: 1 }, { index: 6 }]) {
      assert.notDeepEqual(erased(5, { erasing: 1, ...other }).pixels, erased(5, { erasing: 1 }).pixels);
    }
  });
});
