import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { minimize } from '../../lib/detectors/lbfgs.js';
import { fitLogistic, predictLogistic } from '../../lib/detectors/logistic.js';
import { fitLogisticCv, PENALTIES, stratifiedFolds } from '../../lib/detectors/logistic-cv.js';

interface Regression {
  name: string;
  width: number;
  x: number[];
  y: string;
  folds: string;
  coefficients: number[];
  intercept: number;
  c: number;
  /** Chosen by scikit-learn when the data's last bits change, and how far its coefficients then move. */
  cs: number[];
  spread: number;
  accuracies: number[][];
  probabilities: number[];
}

interface Minimisation {
  function: string;
  start: number[];
  values: number[];
  x: number[];
  iterations: number;
}

const fixtures = JSON.parse(readFileSync('test/fixtures/logistic-cv.json', 'utf8')) as {
  penalties: number[];
  regressions: Regression[];
  minimisations: Minimisation[];
};

const digits = (text: string) => Uint8Array.from(text, Number);
const mean = (values: Iterable<number>) => {
  const all = [...values];
  return all.reduce((sum, value) => sum + value, 0) / all.length;
};

describe("logistic regression against scikit-learn's LogisticRegressionCV()", () => {
  it('the same penalties', () => assert.deepEqual(PENALTIES, fixtures.penalties));

  for (const of of fixtures.regressions) {
    // Three times what scikit-learn moves by itself when its input changes in the last bit, where that is more.
    const bound = Math.max(1e-3, 3 * of.spread);
    const stable = of.spread < 1e-4;
    it(`${of.name}: folds, C, accuracies; coefficients within ${bound.toPrecision(2)}`, () => {
      const labels = digits(of.y);
      assert.deepEqual(stratifiedFolds(labels), digits(of.folds));
      const found = fitLogisticCv(Float64Array.from(of.x), of.width, labels);
      assert.ok(stable ? found.c === of.c : of.cs.includes(found.c), `C ${found.c}, expected ${of.cs}`);
      const expected = [...of.coefficients, of.intercept];
      const floor = 1e-6 * Math.max(...expected.map(Math.abs));
      for (const [j, value] of [...found.coefficients, found.intercept].entries()) {
        const reference = expected[j] as number;
        const error = Math.abs(value - reference) / Math.max(Math.abs(reference), floor);
        assert.ok(error <= bound, `coefficient ${j}: ${value}, expected ${reference}`);
      }
      assert.equal(found.accuracies.length, 5);
      for (const [fold, accuracies] of of.accuracies.entries()) {
        const rows = digits(of.folds).filter((value) => value === fold).length;
        for (const [i, accuracy] of accuracies.entries()) {
          // A row that lies on the border may fall on either side.
          const error = Math.abs((found.accuracies[fold]?.[i] as number) - accuracy);
          assert.ok(error <= (stable ? 0 : 1.5 / rows), `fold ${fold}, C ${PENALTIES[i]}: off by ${error}`);
        }
      }
      const probabilities = predictLogistic(found, Float64Array.from(of.x.slice(0, 4 * of.width)));
      for (const [i, value] of of.probabilities.entries()) {
        assert.ok(Math.abs((probabilities[i] as number) - value) <= bound, `P(label 1) of row ${i}`);
      }
    });
  }

  it('takes less than a second for 1000 rows of 5 columns', () => {
    const of = fixtures.regressions[1] as Regression;
    assert.equal(of.y.length, 1000);
    const begin = performance.now();
    fitLogisticCv(Float64Array.from(of.x), of.width, digits(of.y));
    assert.ok(performance.now() - begin < 1000, `${performance.now() - begin} ms`);
  });
});

describe('logistic regression', () => {
  it('one fit ends where the gradient is 0, worked out by hand', () => {
    // The penalty holds the coefficient at 0, so the intercept is the logarithm of the odds.
    const data = {
      values: Float64Array.of(-1, 1, 1, 1),
      width: 1,
      labels: Uint8Array.of(0, 0, 1, 0),
      rows: Uint32Array.of(0, 1, 2, 3),
    };
    const { x, end } = fitLogistic(data, 1e-12, new Float64Array(2));
    assert.equal(end, 'gradient');
    assert.ok(Math.abs(x[0] as number) < 1e-10);
    assert.ok(Math.abs((x[1] as number) - Math.log(1 / 3)) < 1e-3);
  });

  it('of a column that tells nothing gives every row the share of label 1', () => {
    const labels = Uint8Array.from({ length: 40 }, (_, i) => (i % 4 === 0 ? 1 : 0));
    const { accuracies, ...model } = fitLogisticCv(new Float64Array(40).fill(3), 1, labels);
    assert.ok(Math.abs(mean(predictLogistic(model, Float64Array.of(3, 3))) - 0.25) < 1e-3);
    assert.equal(model.c, 1e-4);
    assert.equal(model.converged, true);
    assert.ok(accuracies.every((fold) => fold.every((accuracy) => accuracy === 0.75)));
  });

  it('neither overflows nor cancels where scores are huge', () => {
    const model = { coefficients: Float64Array.of(1), intercept: 0 };
    assert.deepEqual(
      predictLogistic(model, Float64Array.of(-1e9, -700, 0, 40, 1e9)),
      Float64Array.of(0, Math.exp(-700), 0.5, 1, 1),
    );
    const values = Float64Array.from({ length: 20 }, (_, i) => (i < 10 ? -1e6 : 1e6) + i);
    const found = fitLogisticCv(
      values,
      1,
      Uint8Array.from({ length: 20 }, (_, i) => (i < 10 ? 0 : 1)),
    );
    assert.ok(Number.isFinite(found.intercept) && (found.coefficients[0] as number) > 0);
    assert.ok(found.accuracies.every((fold) => fold.every((accuracy) => accuracy === 1)));
  });

  it('refuses what it cannot fit', () => {
    const rows = (zeros: number, ones: number) =>
      Uint8Array.from({ length: zeros + ones }, (_, i) => (i < zeros ? 0 : 1));
    const fit = (values: Float64Array, width: number, labels: Uint8Array) => () => fitLogisticCv(values, width, labels);
    const refuse = (run: () => unknown, code: string, message: string) => assert.throws(run, { code, message });
    const start = 'Logistic regression: ';
    refuse(
      fit(new Float64Array(30), 3, rows(5, 6)),
      'E_DATA',
      `${start}expected 11 × 3 values for 11 labels, found 30.`,
    );
    refuse(fit(new Float64Array(0), 0, rows(5, 5)), 'E_DATA', `${start}expected 10 × 0 values for 10 labels, found 0.`);
    refuse(
      fit(new Float64Array(30), 3, rows(6, 4)),
      'E_DATA',
      `${start}expected at least 5 rows of each label, found 6 of label 0 and 4 of label 1.`,
    );
    refuse(
      fit(new Float64Array(10), 1, new Uint8Array(10).fill(2)),
      'E_DATA',
      `${start}expected labels 0 and 1 alone.`,
    );
    const values = new Float64Array(20);
    values[13] = Number.NaN;
    refuse(fit(values, 2, rows(5, 5)), 'E_NUMERIC', `${start}value 1 of row 6 is NaN.`);
  });
});

describe("L-BFGS against SciPy's L-BFGS-B: every value that is asked for", () => {
  const functions: Record<string, (x: Float64Array, gradient: Float64Array) => number> = {
    rosenbrock: ([a = 0, b = 0], gradient) => {
      gradient.set([-400 * a * (b - a * a) - 2 * (1 - a), 200 * (b - a * a)]);
      return 100 * (b - a * a) ** 2 + (1 - a) ** 2;
    },
    quartic: ([a = 0, b = 0], gradient) => {
      gradient.set([4 * a ** 3 + b, 4e-3 * b ** 3 + a]);
      return a ** 4 + 1e-3 * b ** 4 + a * b;
    },
    valley: ([a = 0, b = 0], gradient) => {
      gradient.set([2e6 * a, 2e-3 * b]);
      return 1e6 * a * a + 1e-3 * b * b;
    },
    kink: ([a = 0], gradient) => {
      const root = Math.sqrt(a * a + 1e-12);
      gradient.set([a / root + 1e-3]);
      return root + 1e-3 * a;
    },
  };
  for (const { function: name, start, values, x, iterations } of fixtures.minimisations) {
    it(`${name} from ${start.join(', ')}: ${values.length} values in ${iterations} iterations`, () => {
      const seen: number[] = [];
      const result = minimize(
        (at, gradient) => {
          const value = (functions[name] as (typeof functions)[string])(at, gradient);
          // SciPy remembers its last point, and does not ask again where a search returns to it.
          if (value !== seen.at(-1)) seen.push(value);
          return value;
        },
        Float64Array.from(start),
        { memory: 10, gradientTolerance: 1e-4, valueTolerance: 64 * Number.EPSILON, iterations: 100, searchSteps: 50 },
      );
      assert.equal(result.iterations, iterations);
      assert.equal(result.end, 'gradient');
      assert.equal(seen.length, values.length);
      for (const [i, value] of values.entries()) {
        // Rounding grows with every step.
        const error = Math.abs((seen[i] as number) - value);
        assert.ok(error <= 1e-6 * Math.abs(value) + 1e-12, `value ${i}: ${seen[i]}, expected ${value}`);
      }
      for (const [j, value] of x.entries())
        assert.ok(Math.abs((result.x[j] as number) - value) <= 1e-7 * (1 + Math.abs(value)));
    });
  }

  it('ends where it begins if nothing descends, and says why it stopped', () => {
    const options = { memory: 3, gradientTolerance: 0, valueTolerance: 0, iterations: 2, searchSteps: 4 };
    const bowl = (x: Float64Array, gradient: Float64Array) => {
      gradient[0] = 2 * (x[0] as number);
      return (x[0] as number) ** 2;
    };
    assert.equal(minimize(bowl, Float64Array.of(0), options).end, 'gradient');
    // The gradient points the wrong way: no step is lower.
    const liar = (x: Float64Array, gradient: Float64Array) => {
      const value = bowl(x, gradient);
      gradient[0] = -(gradient[0] as number) - 1;
      return value;
    };
    assert.deepEqual(minimize(liar, Float64Array.of(1), options), {
      x: Float64Array.of(1),
      iterations: 0,
      end: 'line search',
    });
    const slope = (x: Float64Array, gradient: Float64Array) => {
      gradient[0] = Math.exp(x[0] as number);
      return gradient[0];
    };
    assert.deepEqual(
      [minimize(slope, Float64Array.of(0), options)].map(({ iterations, end }) => [iterations, end]),
      [[2, 'iterations']],
    );
    const { x, end } = minimize(bowl, Float64Array.of(3), { ...options, iterations: 50, valueTolerance: 1 });
    assert.equal(end, 'value');
    assert.ok(Math.abs(x[0] as number) < 3);
  });
});
