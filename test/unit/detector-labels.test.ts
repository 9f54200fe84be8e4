/** Detectors with parameters: on the command line, as labels, and with the defaults of suites. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { detectorsOf } from '../../lib/cli/detector-flags.js';
import { DETECTORS, detectorOf, labelOf, parseLabel, titleOf } from '../../lib/detectors/index.js';
import { chooseDetectors, defaultsFor } from '../../lib/run/experiment.js';
import type { ChosenSets } from '../../lib/run/sets.js';
import { FAKE_TRANSFORM } from './run-addon.js';

const config = (message: string | RegExp) => ({ code: 'E_CONFIG', message });

describe('a label', () => {
  it('is taken apart and put together', () => {
    assert.deepEqual(parseLabel('knn'), { name: 'knn', given: {} });
    const given = { magnitude: 0.002, gradient: 'accumulated' };
    assert.deepEqual(parseLabel(' odin : magnitude=2e-3 :gradient= accumulated'), { name: 'odin', given });
    assert.equal(labelOf('odin', given), 'odin:magnitude=0.002:gradient=accumulated');
    assert.deepEqual(parseLabel(labelOf('odin', given)).given, given);
  });

  it('finds its detector and its title', () => {
    assert.equal(detectorOf('kNN:k=10').name, 'knn');
    assert.equal(titleOf('knn'), 'kNN');
    assert.equal(titleOf('odin:magnitude=0.002:temperature=10'), 'ODIN (magnitude=0.002, temperature=10)');
    assert.throws(() => titleOf('kn:k=10'), config(/Unknown detector "kn"; the nearest is "knn"/));
  });

  it('that is none is refused', () => {
    for (const [text, message] of [
      ['knn:k', 'expected knn:parameter=value, found "knn:k"'],
      ['knn:=3', 'expected knn:parameter=value, found "knn:=3"'],
      ['knn:k=', 'expected knn:parameter=value, found "knn:k="'],
      ['knn:', 'expected knn:parameter=value, found "knn:"'],
      [':k=3', 'expected NAME or NAME:parameter=value, found ":k=3"'],
      ['knn:k=1:k=2', 'parameter k is given twice in "knn:k=1:k=2"'],
    ] as const) {
      assert.throws(() => parseLabel(text), config(message), text);
    }
    // A name of every object is no parameter that is there.
    assert.deepEqual(Object.keys(parseLabel('knn:constructor=1').given), ['constructor']);
  });
});

describe('--detector', () => {
  const choose = (detector: string[], k?: number) => {
    const choices = detectorsOf({ detector, ...(k === undefined ? {} : { k }) }) ?? [];
    return chooseDetectors(choices, '--detector', 'cifar10').map(({ label, parameters }) => [label, parameters]);
  };

  it('takes a detector several times, with other parameters', () => {
    assert.deepEqual(choose(['msp', 'odin:magnitude=0.002', 'knn:k=10', 'KNN:k=50']), [
      ['msp', {}],
      ['odin', { temperature: 1000, magnitude: 0.002, gradient: 'own' }],
      ['knn:k=10', { k: 10 }],
      ['knn:k=50', { k: 50 }],
    ]);
    assert.deepEqual(choose(['knn', 'knn:k=9']), [
      ['knn', { k: 50 }],
      ['knn:k=9', { k: 9 }],
    ]);
  });

  it('goes with --k, which means each knn that has none', () => {
    assert.deepEqual(choose(['msp', 'Knn'], 7), [
      ['msp', {}],
      ['knn', { k: 7 }],
    ]);
    assert.throws(() => choose(['msp'], 7), config('--k: expected the detector knn with it, found none'));
    assert.throws(() => choose(['knn:k=3'], 7), config('--k: expected knn without a k of its own, found knn:k=3'));
    const all = detectorsOf({ k: 7 });
    assert.deepEqual(
      all?.filter((choice) => typeof choice !== 'string'),
      [{ knn: { k: 7 } }],
    );
    assert.equal(all?.length, DETECTORS.length);
    assert.equal(detectorsOf({}), undefined);
  });

  it('says what is wrong in one sentence', () => {
    for (const [list, message] of [
      [[], '--detector: expected at least one detector, found nothing'],
      [['knn:k'], '--detector: expected knn:parameter=value, found "knn:k"'],
      [['knn:kk=3'], '--detector: Detector knn has no parameter "kk"; the nearest is "k"'],
      [['odin:magnitud=3'], '--detector: Detector odin has no parameter "magnitud"; the nearest is "magnitude"'],
      [['msp:k=3'], '--detector: Detector msp has no parameter "k"; it has none'],
      [['knn:constructor=3'], '--detector: Detector knn has no parameter "constructor"; known are k'],
      [['knn:k=1.5'], '--detector: Detector knn, k: expected a whole number at least 1, found 1.5.'],
      [['knn:k=all'], '--detector: Detector knn, k: expected a whole number at least 1, found all.'],
      [['odin:temperature=0'], '--detector: Detector odin, temperature: expected a number above 0, found 0.'],
      [['odin:gradient=1'], '--detector: Detector odin, gradient: expected own or accumulated, found 1.'],
      [['odn:k=1'], '--detector: Unknown detector "odn"; the nearest is "odin"'],
      [['knn:k=5', 'knn:k=05'], '--detector: detector knn:k=5 is given twice'],
    ] as [string[], string][]) {
      assert.throws(() => choose(list), config(message), list.join());
    }
  });
});

describe('the defaults of detectors', () => {
  const sets = (name?: string) => ({ suite: name && { suite: { name } } }) as unknown as ChosenSets;
  const sized = (crop: number) => ({ ...FAKE_TRANSFORM, crop });

  it('are those of the suite', () => {
    assert.equal(defaultsFor(sets('imagenet'), sized(32)), 'imagenet');
    assert.equal(defaultsFor(sets('cifar100'), sized(224)), 'cifar100');
  });

  it('without a suite are ImageNet’s for large images', () => {
    const crops = [28, 32, 64, 127, 128, 224, 384];
    const found = crops.map((crop) => defaultsFor(sets(), sized(crop)));
    assert.deepEqual(found, [...Array(4).fill('cifar10'), ...Array(3).fill('imagenet')]);
    const parameters = (crop: number) =>
      chooseDetectors(['knn', 'odin'], '', defaultsFor(sets(), sized(crop))).map((choice) => choice.parameters);
    assert.deepEqual(parameters(224), [{ k: 1000 }, { temperature: 1000, magnitude: 0, gradient: 'own' }]);
    assert.deepEqual(parameters(32), [{ k: 50 }, { temperature: 1000, magnitude: 0.0014, gradient: 'own' }]);
  });

  it('give way to what is asked for', () => {
    assert.deepEqual(chooseDetectors([{ knn: { k: 3 } }], '', 'imagenet')[0]?.parameters, { k: 3 });
  });
});
