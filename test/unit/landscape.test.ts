/** Orders, contours, geometry, figures and kept points of loss landscapes; networks are stood in for by a formula. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { check } from '../../lib/config/check.js';
import { ModeEnsembleError } from '../../lib/config/errors.js';
import { completeExperiment } from '../../lib/config/load.js';
import { fields } from '../../lib/config/schema.js';
import type { DataSet } from '../../lib/data/open.js';
import { openSafetensors, readFloat64 } from '../../lib/features/safetensors.js';
import { summarise } from '../../lib/landscape/connect.js';
import { drawContours, LEVELS } from '../../lib/landscape/contour-figure.js';
import { contourLines, placeLabels } from '../../lib/landscape/contours.js';
import { gridGeometry, planeGeometry } from '../../lib/landscape/geometry.js';
import { readIndex } from '../../lib/landscape/index-file.js';
import { chooseLabels, type LandscapeSettings, makeLandscape, requireAlike } from '../../lib/landscape/landscape.js';
import { drawLines } from '../../lib/landscape/line-figure.js';
import { fillBetween, lineLevels, pointLevels } from '../../lib/landscape/order.js';
import type { Member } from '../../lib/modes/member.js';
import type { Addon, JobEvent, SurfaceOptions } from '../../lib/native/contract.js';
import { FAKE_TRANSFORM, fakeAddon } from './run-addon.js';

const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-landscape-unit-'));
after(() => rmSync(folder, { recursive: true, force: true }));

describe('the order of points', () => {
  it('has ends and middle first, then what is between, each line once', () => {
    assert.deepEqual(lineLevels(5), [0, 1, 0, 1, 0]);
    assert.deepEqual(lineLevels(9), [0, 2, 1, 2, 0, 2, 1, 2, 0]);
    assert.deepEqual(lineLevels(2), [0, 0]);
    const levels = lineLevels(51);
    assert.deepEqual([levels[0], levels[25], levels[50]], [0, 0, 0]);
    assert.equal(levels.filter((level) => level === 0).length, 5);
    assert.equal(Math.max(...levels), 4);
  });

  it('of a grid is coarse to fine and complete', () => {
    for (const side of [2, 3, 5, 8, 15, 51]) {
      const levels = pointLevels([side, side]);
      const all = levels.flat();
      assert.equal(all.length, side * side);
      assert.equal(new Set(all).size, side * side);
      for (let i = 1; i < levels.length; i++) {
        assert.ok((levels[i] as number[]).length > (levels[i - 1] as number[]).length, `side ${side}, level ${i}`);
      }
      assert.ok(levels[0]?.includes(0) && levels[0].includes(side * side - 1), 'the corners come first');
    }
    assert.ok((pointLevels([51, 51])[0] as number[]).length < 30);
  });

  it('fills a coarse grid in linearly', () => {
    const side = 9;
    const plane = (x: number, y: number) => 2 * x - 3 * y + 1;
    const values = new Float64Array(side * side).fill(Number.NaN);
    for (const point of pointLevels([side, side])[0] as number[]) {
      values[point] = plane(point % side, Math.floor(point / side));
    }
    const filled = fillBetween(values, side, 0);
    for (let point = 0; point < side * side; point++) {
      assert.ok(Math.abs((filled[point] as number) - plane(point % side, Math.floor(point / side))) < 1e-12);
    }
  });
});

const grid = (side: number, of: (x: number, y: number) => number) =>
  Float64Array.from({ length: side * side }, (_, point) => of(point % side, Math.floor(point / side)));

describe('contours', () => {
  it('of a cone are one closed circle of the right radius', () => {
    const lines = contourLines(
      grid(41, (x, y) => Math.hypot(x - 20, y - 20)),
      41,
      12.5,
    );
    assert.equal(lines.length, 1);
    const [line] = lines as [[number, number][]];
    assert.deepEqual(line[0], line.at(-1));
    assert.ok(line.length > 80);
    for (const [x, y] of line) assert.ok(Math.abs(Math.hypot(x - 20, y - 20) - 12.5) < 0.02);
  });

  it('of a slope is a straight line from border to border, of a saddle two', () => {
    const [line, ...others] = contourLines(
      grid(5, (x) => x),
      5,
      1.5,
    );
    assert.equal(others.length, 0);
    assert.deepEqual(
      line?.map(([x]) => x),
      Array(5).fill(1.5),
    );
    assert.equal(contourLines(Float64Array.of(1, 0, 0, 1), 2, 0.4).length, 2);
    assert.equal(
      contourLines(
        grid(5, () => 3),
        5,
        1,
      ).length,
      0,
    );
  });

  it('leave out cells with a corner that is no number', () => {
    const values = grid(5, (x) => x);
    values[2 * 5 + 1] = Number.NaN;
    const lines = contourLines(values, 5, 1.5);
    assert.deepEqual(lines.map((line) => line.length).sort(), [2, 2]);
    for (const [, y] of lines.flat()) assert.ok(y <= 1 || y >= 3);
  });

  it('have labels that stay apart, inside and upright', () => {
    const contours = LEVELS.map((level) => ({
      level,
      lines: contourLines(
        grid(21, (x, y) => Math.hypot(x - 10, y - 10) ** 2 / 20),
        21,
        level,
      ).map((line): [number, number][] => line.map(([x, y]) => [x * 10, y * 10])),
    }));
    const labels = placeLabels(contours, { width: 21, height: 9, sides: [200, 200] });
    assert.ok(labels.length >= 6, `${labels.length}`);
    for (const [i, a] of labels.entries()) {
      assert.ok(a.x > 10 && a.x < 190 && a.y > 10 && a.y < 190 && Math.abs(a.angle) <= 90);
      assert.ok(Math.abs(Math.hypot(a.x - 100, a.y - 100) ** 2 / 2000 - a.level) < 0.25, 'on its line');
      for (const b of labels.slice(i + 1)) assert.ok(Math.hypot(a.x - b.x, a.y - b.y) > 21);
    }
  });
});

describe('geometry', () => {
  it('of a grid has the mode itself in the middle', () => {
    const { coefficients, levels } = gridGeometry(5, 0.5);
    assert.deepEqual(coefficients[12], [1, 0, 0]);
    assert.deepEqual(coefficients[0], [1, -0.5, -0.5]);
    assert.deepEqual(coefficients[1]?.[1], -0.25);
    assert.ok(levels[0]?.includes(12));
  });

  it('of a plane has the three modes at their marks, and true distances', () => {
    const weights = [
      [0, 0, 1],
      [4, 0, 1],
      [1, 3, 1],
    ];
    const products = weights.flatMap((a) => weights.map((b) => a.reduce((sum, v, i) => sum + v * (b[i] as number), 0)));
    const { coefficients, axes, marks } = planeGeometry(products, ['a', 'b', 'c'], 11, 0);
    assert.deepEqual(
      marks.map(({ x, y, text }) =>
        [text, x, y].map((value) => (typeof value === 'number' ? +value.toFixed(9) : value)),
      ),
      [
        ['a', 0, 0],
        ['b', 4, 0],
        ['c', 1, 3],
      ],
    );
    assert.deepEqual([axes[0]?.from, axes[0]?.to, axes[1]?.to], [0, 4, 3]);
    for (const [point, row] of coefficients.entries()) {
      assert.ok(Math.abs(row.reduce((sum, c) => sum + c, 0) - 1) < 1e-12);
      // In these weights the plane's coordinates are the first two.
      const at = [0, 1].map((k) => row.reduce((sum, c, i) => sum + c * (weights[i]?.[k] as number), 0));
      assert.ok(Math.abs((at[0] as number) - (point % 11) * 0.4) < 1e-9);
      assert.ok(Math.abs((at[1] as number) - Math.floor(point / 11) * 0.3) < 1e-9);
    }
  });
});

describe('settings', () => {
  const refuses = (field: keyof typeof fields, value: unknown, message: RegExp) =>
    assert.throws(() => check(fields[field], value, '--x'), message);

  it('refuse grids of one point and of too many, and rules that are not known', () => {
    refuses('grid', 1, /^ConfigError: --x: expected a whole number from 2 to 501, found 1$/);
    refuses('grid', 502, /found 502/);
    refuses('images', 0, /a whole number of at least 1, or all, found 0/);
    refuses('range', 0, /a number above 0, found 0/);
    refuses('labels', 'true', /auto, own, prediction, random or uniform/);
    assert.equal(check(fields.images, 'all', '--x'), 'all');
  });

  it('of an experiment are off by default, and filled in where they are asked for', () => {
    const base = { in: 'builtin:shapes', out: ['builtin:blends'], arch: 'R18', seeds: [1] };
    assert.equal(completeExperiment(base).landscape, undefined);
    assert.deepEqual(completeExperiment({ ...base, landscape: {} }).landscape, {
      ...{ grid: 11, range: 1, images: 200, labels: 'auto', seed: 0 },
    });
    assert.throws(
      () => completeExperiment({ ...base, landscape: { grids: 3 } }),
      /landscape\.grids: unknown key.*grid/,
    );
  });
});

const set = (name: string, classes: number, count = 20): DataSet => ({
  ...{ name, reader: 'folder', count, skipBadImages: false, handle: {} as never },
  fingerprint: `of ${name}`,
  classes: Array.from({ length: classes }, (_, i) => `class ${i}`),
  dispose() {},
  [Symbol.dispose]() {},
});

const member = (name: string, { classes = 10, id = 'cifar-resnet18' } = {}): Member => ({
  name,
  checkpoint: `${name}.safetensors`,
  weightsHash: `hash ${name}`,
  arch: { name: id, width: 64, id, dropout: 0, transform: FAKE_TRANSFORM },
  transform: FAKE_TRANSFORM,
  classes,
});

describe('labels of OoD images', () => {
  const about = { members: [member('a')], sets: { test: set('in', 10), out: [set('ten', 10), set('four', 4)] } };

  it('are their own where a set has as many classes, else predictions, if nothing is asked for', () => {
    const rules = chooseLabels({ ...about, labels: 'auto' }).map(({ labels }) => labels);
    assert.deepEqual(rules, ['own', 'own', 'prediction']);
    const all = chooseLabels({ ...about, labels: 'uniform' }).map(({ labels }) => labels);
    assert.deepEqual(all, ['own', 'uniform', 'uniform']);
  });

  it('cannot be their own where the numbers of classes differ', () => {
    assert.throws(
      () => chooseLabels({ ...about, labels: 'own', nameField: (field) => `--${field}` }),
      /--labels: own needs an OoD set of as many classes as the modes tell apart, 10, found 4 in four/,
    );
    assert.throws(() => chooseLabels({ ...about, members: [member('a', { classes: 7 })], labels: 'auto' }), /found 7/);
  });

  it('modes on one plane must be alike', () => {
    requireAlike([member('a'), member('b')]);
    assert.throws(
      () => requireAlike([member('a'), member('b', { id: 'wrn-16-8' })]),
      /b\.safetensors: expected a cifar/,
    );
    assert.throws(() => requireAlike([member('a'), member('b', { classes: 3 })]), /expected 10 classes/);
  });
});

/** An addon whose loss is 1 + α² + β² + (number of the set), and that breaks down after some points. */
function formulaAddon(breaksAfter = Number.POSITIVE_INFINITY) {
  const jobs: number[] = [];
  const addon = {
    ...fakeAddon(),
    surface: (options: SurfaceOptions, sink: (event: JobEvent) => void) => ({
      abort() {},
      done: (async () => {
        const width = options.checkpoints.length + options.directions;
        const count = options.coefficients.length / width;
        jobs.push(count);
        for (let index = 0; index < count; index++) {
          if (jobs.reduce((sum, one) => sum + one, 0) - count + index >= breaksAfter) {
            throw new ModeEnsembleError('E_ABORTED', 'The job was stopped.');
          }
          const [, alpha = 0, beta = 0] = options.coefficients.slice(index * width, (index + 1) * width);
          const losses = options.sets.map((_, s) =>
            alpha === 1 && beta === 1 ? Number.NaN : 1 + alpha ** 2 + beta ** 2 + s,
          );
          sink({ type: 'point', index, losses, accuracies: options.sets.map(() => 0.5) });
        }
        return { counts: [], skipped: [], seconds: 1 };
      })(),
    }),
  };
  return { addon: addon as unknown as Addon, jobs };
}

function settingsOf(name: string, addon: Addon, more: Partial<LandscapeSettings> = {}): LandscapeSettings {
  return {
    ...{ kind: 'grid', members: [member('a'), member('b')], sets: { test: set('in', 10), out: [set('out', 4)] } },
    ...{ grid: 9, range: 1, images: 10, labels: 'auto', seed: 3, statisticsImages: 0, augment: null, batchSize: 8 },
    ...{ precision: 'float32', memory: 2 ** 30, threads: 2, workers: 1, folder: join(folder, name), addon },
    ...more,
  };
}

describe('a landscape', () => {
  it('is written as numbers, table, figure and index; gaps are counted', async () => {
    const { addon } = formulaAddon();
    const result = await makeLandscape(settingsOf('whole', addon));
    assert.equal(result.gaps, 4);
    assert.deepEqual(result.points, { made: 162, reused: 0 });
    assert.deepEqual(result.summary[0], {
      ...{ mode: 'a', set: 'in', kind: 'in', labels: 'own', centre: 1, least: 1, most: 3, gaps: 1 },
    });
    const file = await openSafetensors(join(folder, 'whole', 'landscape.safetensors'));
    assert.deepEqual(file.tensors.get('loss')?.shape, [2, 2, 9, 9]);
    const losses = await readFloat64(file, 'loss');
    assert.equal(losses[4 * 9 + 4], 1);
    assert.equal(losses[81 + 4 * 9], 3);
    const lines = readFileSync(join(folder, 'whole', 'landscape.csv'), 'utf8')
      .trimEnd()
      .split('\n');
    assert.equal(lines.length, 1 + 2 * 2 * 81);
    assert.equal(lines[0], 'mode,set,kind,labels,alpha,beta,loss,accuracy');
    assert.equal(lines[1], 'a,in,in,own,-1,-1,3,0.5');
    assert.equal(lines[81], 'a,in,in,own,1,1,,0.5');
    const index = readIndex(join(folder, 'whole', 'landscape.json'));
    assert.equal(index.figures.length, 1);
    assert.match(
      index.figures[0]?.caption ?? '',
      /9 × 9 points over \[−1, 1\]².*own predictions.*4 losses are not finite/,
    );
    const svg = readFileSync(join(folder, 'whole', 'landscape.svg'), 'utf8');
    for (const text of ['mode a', 'mode b', 'InD: in', 'OoD: out', '>1.6<', '>2.1<'])
      assert.ok(svg.includes(text), text);
  });

  it('that was stopped goes on with the points that are missing, to the same bytes', async () => {
    const { addon: broken, jobs: before } = formulaAddon(100);
    await assert.rejects(makeLandscape(settingsOf('stopped', broken)), { code: 'E_ABORTED' });
    assert.ok(!existsSync(join(folder, 'stopped', 'landscape.svg')));
    assert.ok(before.length >= 3);
    const { addon, jobs } = formulaAddon();
    const result = await makeLandscape(settingsOf('stopped', addon));
    assert.deepEqual(result.points, { made: 62, reused: 100 });
    assert.equal(
      jobs.reduce((sum, one) => sum + one, 0),
      62,
    );
    for (const name of ['landscape.safetensors', 'landscape.csv', 'landscape.svg', 'landscape.json']) {
      assert.deepEqual(readFileSync(join(folder, 'stopped', name)), readFileSync(join(folder, 'whole', name)), name);
    }
  });

  it('of other settings, or from damaged points, is computed anew, and says so', async () => {
    const told: string[] = [];
    const onLog = ({ message }: { message: string }) => told.push(message);
    const { addon, jobs } = formulaAddon();
    await makeLandscape(settingsOf('stopped', addon, { seed: 4 }), { onLog });
    assert.equal(
      jobs.reduce((sum, one) => sum + one, 0),
      162,
    );
    assert.match(told[0] ?? '', /points of other settings; they are computed anew/);
    writeFileSync(join(folder, 'stopped', 'points', 'landscape-a.safetensors'), 'nonsense');
    told.length = 0;
    const again = await makeLandscape(settingsOf('stopped', addon, { seed: 4 }), { onLog });
    assert.deepEqual(again.points, { made: 81, reused: 81 });
    assert.match(told[0] ?? '', /landscape-a\.safetensors.*computed anew/);
  });

  it('shows a picture early where it is asked to, and leaves one alone that is there', async () => {
    const { addon } = formulaAddon(60);
    await assert.rejects(makeLandscape(settingsOf('early', addon, { refresh: true })), { code: 'E_ABORTED' });
    assert.match(readFileSync(join(folder, 'early', 'landscape.svg'), 'utf8'), /mode a/);
    const path = join(folder, 'whole', 'landscape.svg');
    writeFileSync(path, 'mine');
    await makeLandscape(settingsOf('whole', formulaAddon().addon, { keepSame: true }));
    assert.equal(readFileSync(path, 'utf8'), 'mine');
    await makeLandscape(settingsOf('whole', formulaAddon().addon));
    assert.notEqual(readFileSync(path, 'utf8'), 'mine');
  });

  it('and a profile of one folder share its index', async () => {
    await makeLandscape(settingsOf('whole', formulaAddon().addon, { kind: 'profile' }));
    const { figures } = readIndex(join(folder, 'whole', 'landscape.json'));
    assert.deepEqual(
      figures.map(({ file }) => file),
      ['landscape.svg', 'profile.svg'],
    );
  });
});

describe('figures', () => {
  it('show gaps, and nothing but the frame where no loss is within the levels', async () => {
    const values = grid(5, () => 50);
    values[7] = Number.NaN;
    const axis = { title: 'α', count: 5, from: -1, to: 1 };
    const figure = { rows: ['r'], columns: ['c'], panels: [[{ values }]], axes: [axis, axis] as const, marks: [[]] };
    const svg = await drawContours(figure);
    assert.equal(svg.match(/fill="#d5dbe3"/g)?.length, 1);
    assert.doesNotMatch(svg, /NaN/);
  });

  it('break lines where there is no number', async () => {
    const series = [{ name: 'a', x: [0, 1, 2, 3], y: [1, Number.NaN, 2, 3] }];
    const svg = await drawLines({ axis: 't', panels: [{ title: 'p', measure: 'm', series }], legend: 'l', columns: 1 });
    assert.doesNotMatch(svg, /NaN/);
  });

  it('of paths come with barriers', () => {
    const found = summarise({ path: 'p', set: 's', kind: 'in' }, [0, 0.5, 1], [1, 4, 2], [0.9, 0.2, 0.8]);
    assert.deepEqual(
      [found.highest, found.at, found.barrier, found.lowestAccuracy, found.gaps, found.ends],
      [4, 0.5, 2, 0.2, 0, [1, 2]],
    );
    assert.equal(summarise({ path: 'p', set: 's', kind: 'in' }, [0, 1, 2], [1, Number.NaN, 2], []).gaps, 1);
  });
});
