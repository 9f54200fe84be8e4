/** Each detector of logits and of the penultimate feature against the oracles of test/parity/oracles, through the whole of a run. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { type Pass, PLAIN, passId, perturbed, RANK1 } from '../../lib/features/pass.js';
import { FeatureFile } from '../../lib/features/store.js';
import { getAddon } from '../../lib/native/load.js';
import { evaluate } from '../../lib/run/evaluate.js';
import { passesOf } from '../../lib/run/experiment.js';
import { extractFeatures, servicesOf } from '../../lib/run/extract.js';
import { togetherOf } from '../../lib/run/together.js';
import type { DetectorChoice, MemberFeatures, PassFiles } from '../../lib/run/types.js';
import { type DetectorCase, detectorCases, prepareCase } from '../helpers/detector-cases.js';

/** Of scores relative to each, of logits to the largest. */
const TOLERANCE = 1e-4;
/** What a step or a rank-1 part changes is met to this share of it. */
const SHARE = 0.03;

const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-detectors-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Named as in the fixtures. */
function choicesOf({ k, epsilon, temperature }: DetectorCase['parameters']): DetectorChoice[] {
  const choice = (label: string, parameters: DetectorChoice['parameters'] = {}): DetectorChoice => {
    return { name: label.split(',')[0] as string, label, parameters };
  };
  const odin = { temperature, magnitude: epsilon, gradient: 'own' };
  return [
    choice('msp'),
    choice('energy'),
    choice('energy, T=2', { temperature: 2 }),
    choice('odin', odin),
    choice('odin, accumulated', { ...odin, gradient: 'accumulated' }),
    choice('odin, T=1', { ...odin, temperature: 1 }),
    choice('odin, T=1, accumulated', { ...odin, temperature: 1, gradient: 'accumulated' }),
    choice('odin, epsilon=0', { ...odin, magnitude: 0 }),
    choice('gradnorm'),
    choice('rankfeat'),
    choice('knn', { k }),
  ];
}

/** The largest |a − b|/|b|. */
function relative(found: ArrayLike<number>, expected: readonly number[]): number {
  assert.equal(found.length, expected.length);
  return Math.max(...expected.map((b, i) => Math.abs((found[i] as number) - b) / Math.abs(b)));
}

/** The largest |a − b|, over `scale`. */
function distance(a: ArrayLike<number>, b: readonly number[], scale: number): number {
  assert.equal(a.length, b.length);
  return Math.max(...b.map((value, i) => Math.abs((a[i] as number) - value))) / scale;
}

/** Of all pairs that stand in another order, how far apart the two are, relative, where they are closer. */
function worstInversion(a: ArrayLike<number>, b: readonly number[]): number {
  let worst = 0;
  const apart = (v: ArrayLike<number>, i: number, j: number) => {
    const [x, y] = [v[i] as number, v[j] as number];
    return (x - y) / Math.max(Math.abs(x), Math.abs(y));
  };
  for (let i = 0; i < b.length; i++) {
    for (let j = 0; j < i; j++) {
      const [one, other] = [apart(a, i, j), apart(b, i, j)];
      if (one * other < 0) worst = Math.max(worst, Math.min(Math.abs(one), Math.abs(other)));
    }
  }
  return worst;
}

async function meanLogits(paths: readonly string[]): Promise<Float64Array> {
  const all = await Promise.all(paths.map(async (path) => (await FeatureFile.open(path)).logits()));
  return Float64Array.from(all[0] as Float32Array, (_, i) => {
    return all.reduce((sum, logits) => sum + (logits[i] as number), 0) / all.length;
  });
}

describe('detectors', () => {
  for (const [name, given] of detectorCases()) {
    it(`are those of the oracles, each mode and all together: ${name}`, async (t) => {
      const place = mkdtempSync(join(folder, name));
      const choices = choicesOf(given.parameters);
      const settings = await prepareCase(place, given, passesOf(choices));
      using _train = settings.sets.train;
      using _test = settings.sets.test;
      using _out = settings.sets.out[0];
      const { members } = await extractFeatures(settings);
      const ensemble = given.seeds.map(String);
      const together = togetherOf(settings);
      const input = { in: 'test', members, ensembles: [ensemble], detectors: choices, threads: 2 };
      const evaluation = await evaluate(input, {}, { ...servicesOf(getAddon()), together });

      const worst = new Map<string, number>();
      const meet = (what: string, found: number, most: number, told: string) => {
        worst.set(what, Math.max(worst.get(what) ?? 0, found));
        assert.ok(found <= most, `${told}: ${found}, expected at most ${most}`);
      };
      let compared = 0;
      for (const { detector, members: of, in: inScores, out } of evaluation.scores) {
        const id = of.join('+');
        // A mode that stands alone accumulates its own gradient.
        const quantity = of.length === 1 ? detector.replace(', accumulated', '') : detector;
        const expected = given.members[id]?.[quantity];
        assert.ok(expected?.test && expected.out, `${id}: ${quantity}`);
        for (const [found, right] of [
          [inScores, expected.test],
          [out.out as Float64Array, expected.out],
        ] as const) {
          meet(detector, relative(found, right), TOLERANCE, `${id}: ${detector}`);
          meet(`order of ${detector}`, worstInversion(found, right), TOLERANCE, `${id}: order of ${detector}`);
          compared++;
        }
      }
      assert.equal(compared, 2 * choices.length * (1 + given.seeds.length));

      const { temperature, epsilon } = given.parameters;
      const own = perturbed(temperature, epsilon);
      const files = (ids: readonly string[], set: 'test' | 'out', pass: Pass) =>
        ids.map((id) => {
          const member = members.find((other) => other.name === id) as MemberFeatures;
          return (set === 'test' ? member.test : (member.out.out as PassFiles))[passId(pass)] as string;
        });
      const summed = await together(ensemble, { ...own, gradient: 'accumulated' });
      for (const [index, set] of (['test', 'out'] as const).entries()) {
        const first = files(ensemble.slice(0, 1), set, own);
        const rows: [string, string, string[]][] = [
          ['odin logits, accumulated', ensemble.join('+'), [...first, ...(summed[index] as string[])]],
        ];
        for (const id of [...ensemble, ensemble.join('+')]) {
          rows.push(['logits', id, files(id.split('+'), set, PLAIN)]);
          rows.push(['odin logits', id, files(id.split('+'), set, own)]);
          rows.push(['rankfeat logits', id, files(id.split('+'), set, RANK1)]);
        }
        for (const [quantity, id, paths] of rows) {
          const of = given.members[id] as NonNullable<DetectorCase['members'][string]>;
          const right = of[quantity]?.[set] as number[];
          const found = await meanLogits(paths);
          const scale = Math.max(...right.map(Math.abs));
          meet(quantity, distance(found, right, scale), TOLERANCE, `${id}: ${quantity}`);
          if (quantity === 'logits') continue;
          // Logits that the pass did not change would be close as well.
          const effect = distance(of.logits?.[set] as number[], right, 1);
          meet(`change of ${quantity}`, distance(found, right, effect), SHARE, `${id}: change of ${quantity}`);
        }
      }
      t.diagnostic(`${name}: ${[...worst].map(([what, value]) => `${what} ${value.toExponential(1)}`).join('; ')}`);
    });
  }
});
