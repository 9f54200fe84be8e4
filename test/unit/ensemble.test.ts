import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  joinMembers,
  meanOverModes,
  resolveSubset,
  resolveSubsets,
  subsetsOfAllSizes,
  subsetsOfSize,
} from '../../lib/ensemble/index.js';

const SEEDS = ['1000', '1100', '1200', '1300'];

describe('meanOverModes', () => {
  it('gives one mode its own values', () => {
    const logits = Float32Array.of(0.1, -2.5);
    assert.deepEqual(meanOverModes([logits]), Float64Array.from(logits));
  });
  it('averages in float64', () => {
    // In float32 2^24 + 1 is 2^24, and the mean would be 2^23.
    assert.deepEqual(
      meanOverModes([Float32Array.of(2 ** 24, 3), Float32Array.of(1, 6)]),
      Float64Array.of(2 ** 23 + 0.5, 4.5),
    );
    assert.deepEqual(meanOverModes([1, 2, 6].map((value) => Float32Array.of(value))), Float64Array.of(3));
  });
  it('refuses sizes that differ and no modes', () => {
    assert.throws(() => meanOverModes([new Float32Array(2), new Float32Array(3)]), {
      code: 'E_DATA',
      message: /the first has 2 numbers, number 2 has 3/,
    });
    assert.throws(() => meanOverModes([]), { code: 'E_DATA' });
  });
});

describe('subsetsOfSize', () => {
  it('lists all, in order', () => {
    assert.deepEqual(subsetsOfSize(SEEDS, 2).map(joinMembers), [
      '1000+1100',
      '1000+1200',
      '1000+1300',
      '1100+1200',
      '1100+1300',
      '1200+1300',
    ]);
    assert.deepEqual(subsetsOfSize(SEEDS, 4), [SEEDS]);
    assert.equal(subsetsOfSize(SEEDS, 1).length, 4);
    const ten = Array.from({ length: 10 }, (_, i) => `${i}`);
    assert.equal(new Set(subsetsOfSize(ten, 5).map(joinMembers)).size, 252);
  });
  it('refuses sizes that cannot be', () => {
    for (const size of [0, 5, 1.5, Number.NaN]) {
      assert.throws(() => subsetsOfSize(SEEDS, size), { code: 'E_CONFIG', message: /expected a size from 1 to 4/ });
    }
    const thirty = Array.from({ length: 30 }, (_, i) => `${i}`);
    assert.throws(() => subsetsOfSize(thirty, 15), {
      code: 'E_CONFIG',
      message: /There are 155117520 ensembles of 15 of 30/,
    });
  });
});

describe('subsetsOfAllSizes', () => {
  it('lists every ensemble, the small ones first', () => {
    assert.deepEqual(subsetsOfAllSizes(['a', 'b', 'c']).map(joinMembers), ['a+b', 'a+c', 'b+c', 'a+b+c']);
    assert.deepEqual([subsetsOfAllSizes(['a']), subsetsOfAllSizes([])], [[], []]);
    assert.equal(subsetsOfAllSizes(Array.from({ length: 10 }, (_, i) => `${i}`)).length, 1013);
    assert.throws(() => subsetsOfAllSizes(Array.from({ length: 17 }, (_, i) => `${i}`)), {
      code: 'E_CONFIG',
      message: /There are 131054 ensembles of 17 modes; at most 100000/,
    });
  });
});

describe('resolveSubset', () => {
  it('takes text and lists, in any order', () => {
    assert.deepEqual(resolveSubset('1200 + 1000', SEEDS), ['1000', '1200']);
    assert.deepEqual(resolveSubset(['1300', '1000', '1200'], SEEDS), ['1000', '1200', '1300']);
  });
  it('suggests the nearest name', () => {
    assert.throws(() => resolveSubset('1000+1101', SEEDS), {
      code: 'E_CONFIG',
      message: /^Ensemble 1000\+1101: there is no mode "1101"; .*"1100"/,
    });
  });
  it('refuses a mode twice and a lone mode', () => {
    assert.throws(() => resolveSubset('1000+1000', SEEDS), { code: 'E_CONFIG', message: /mode 1000 is given twice/ });
    assert.throws(() => resolveSubset('1000', SEEDS), { code: 'E_CONFIG', message: /at least two modes, found 1/ });
    assert.throws(() => resolveSubset('', SEEDS), { code: 'E_CONFIG', message: /there is no mode ""/ });
    assert.throws(() => resolveSubset([], SEEDS), { code: 'E_CONFIG', message: /at least two modes, found 0/ });
  });
  it('refuses one ensemble twice', () => {
    assert.throws(() => resolveSubsets(['1000+1100', ['1100', '1000']], SEEDS), {
      code: 'E_CONFIG',
      message: /Ensemble 1000\+1100 is given twice/,
    });
    assert.deepEqual(resolveSubsets(['1000+1100', '1000+1200'], SEEDS), [
      ['1000', '1100'],
      ['1000', '1200'],
    ]);
  });
});
