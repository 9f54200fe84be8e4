import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ArchitectureInfo } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';

const addon = getAddon();
const find = (name: string): ArchitectureInfo => {
  const info = addon.findArchitecture(name);
  assert.ok(info, name);
  return info;
};
const parametersOf = ({ name, width, classes, dropout }: ArchitectureInfo): number =>
  addon.measureArchitecture({ name, width, classes, dropout }).parameters;

describe('the registry of architectures', () => {
  it('calls no two by one name, in any case', () => {
    const names = addon.architectures().flatMap(({ name, aliases }) => [name, ...aliases]);
    const lower = names.map((name) => name.toLowerCase());
    assert.equal(new Set(lower).size, lower.length);
    for (const info of addon.architectures()) {
      for (const name of [info.name, ...info.aliases, info.name.toUpperCase()]) assert.deepEqual(find(name), info);
    }
  });

  it('gives preprocessing whose crop fits, and as many stages as the network has channels for', () => {
    for (const { name, transform, stages, width, widthStep } of addon.architectures()) {
      assert.ok(transform.crop <= transform.resize, name);
      for (const value of [...transform.mean, ...transform.std]) assert.ok(value > 0 && value < 1, name);
      assert.ok(stages.length > 0 && width % widthStep === 0, name);
    }
  });

  it('knows the names of the reference', () => {
    const names = { R18: 'cifar-resnet18', R50: 'resnet50', WRN28X10: 'wrn-28-10', 'wrn28-10': 'wrn-28-10' };
    for (const [alias, name] of Object.entries(names)) assert.equal(find(alias).name, name);
    for (const name of ['R34', 'vgg', '', 'wrn', 'wrn-28', 'wrn-028-10', 'wrn-28-10-1']) {
      assert.equal(addon.findArchitecture(name), null, name);
    }
  });

  // Of torchvision's model pages; of the papers' tables, where they give them to two digits.
  it('has the published numbers of parameters', () => {
    const published = { resnet18: 11689512, resnet34: 21797672, resnet50: 25557032, resnet101: 44549160 };
    for (const [name, count] of Object.entries({ ...published, resnet152: 60192808 })) {
      assert.equal(parametersOf(find(name)), count, name);
    }
    const millions = { 'cifar-resnet20': 0.27, 'cifar-resnet56': 0.85, 'cifar-resnet110': 1.7, 'wrn-28-10': 36.5 };
    for (const [name, count] of Object.entries(millions)) {
      assert.ok(Math.abs(parametersOf(find(name)) / 1e6 / count - 1) < 0.02, name);
    }
  });
});

describe('Wide ResNets that are not listed', () => {
  it('are found by depth and factor', () => {
    const info = find('WRN-10-3');
    assert.equal(info.name, 'wrn-10-3');
    assert.deepEqual(info.stages, [16, 48, 96, 192, 192]);
    assert.deepEqual([info.dropout, info.hasDropout, info.classes], [0.3, true, 10]);
    assert.equal(find('wrn10x3').name, 'wrn-10-3');
    assert.ok(parametersOf(info) < parametersOf(find('wrn-16-3')));
  });

  it('say what was wrong with the name', () => {
    const expected = {
      'wrn-29-10': 'wrn-29-10: expected a depth of 6n + 4',
      'wrn-4-2': 'wrn-4-2: expected a depth from 10 to 1000',
      'wrn-1006-2': 'wrn-1006-2: expected a depth from 10 to 1000',
      'wrn-28-65': 'wrn-28-65: expected a widening factor from 1 to 64',
    };
    for (const [name, message] of Object.entries(expected)) {
      assert.throws(() => addon.findArchitecture(name), { code: 'E_CONFIG', message: `${message}.` });
    }
  });
});
