import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveArch } from '../../lib/modes/arch.js';
import { getAddon } from '../../lib/native/load.js';
import { FAKE_TRANSFORM, fakeArchitectures } from './run-addon.js';

const architectures = fakeArchitectures(['cifar-resnet18', 'R18', 64], ['wrn-28-10', 'WRN28X10', 16]);
const resolve = (name: string, width?: number) => resolveArch(name, width, { where: '--arch', architectures });

test('a name, an alias and an id, in any case, are one architecture', () => {
  const whole = { name: 'cifar-resnet18', width: 64, id: 'cifar-resnet18', dropout: 0, transform: FAKE_TRANSFORM };
  for (const name of ['cifar-resnet18', 'CIFAR-ResNet18', 'r18', 'R18', 'r18-w64']) {
    assert.deepEqual(resolve(name), whole, name);
  }
  const small = { ...whole, width: 16, id: 'cifar-resnet18-w16' };
  assert.deepEqual(resolve('R18', 16), small);
  assert.deepEqual(resolve('cifar-resnet18-w16'), small);
  assert.deepEqual(resolve('cifar-resnet18-w16', 16), small);
  assert.equal(resolve('wrn28x10').id, 'wrn-28-10');
});

test('what is not known suggests the nearest', () => {
  assert.throws(() => resolve('cifar-resnet8'), {
    code: 'E_CONFIG',
    message: '--arch: unknown architecture "cifar-resnet8"; the nearest is "cifar-resnet18"',
  });
  assert.throws(() => resolve('vgg'), {
    code: 'E_CONFIG',
    message: '--arch: unknown architecture "vgg"; known are cifar-resnet18, R18, wrn-28-10, WRN28X10',
  });
});

test('widths that contradict or cannot be are refused', () => {
  assert.throws(() => resolve('R18-w16', 32), {
    message: '--arch: "R18-w16" has a width of 16, but a width of 32 is asked for',
  });
  assert.throws(() => resolve('R18', 0), { message: '--arch: expected a width from 1 to 4096, found 0' });
});

test('native code knows the aliases, in any case', () => {
  const names = {
    R18: 'cifar-resnet18',
    R50: 'resnet50',
    DN121: 'densenet121',
    WRN28X10: 'wrn-28-10',
    t2tvit: 't2t-vit-14',
    'DenseNetBC100-w12': 'cifar-densenet-bc-100-w12',
  };
  for (const [alias, id] of Object.entries(names)) {
    for (const name of [alias, alias.toLowerCase(), alias.toUpperCase(), ` ${alias} `]) {
      assert.equal(resolveArch(name).id, id, name);
    }
  }
});

test('native code knows Wide ResNets that are not listed', () => {
  const listed = getAddon()
    .architectures()
    .map(({ name }) => name);
  for (const [name, id] of Object.entries({
    'wrn-40-4': 'wrn-40-4',
    wrn10x2: 'wrn-10-2',
    'WRN10X2-w4': 'wrn-10-2-w4',
  })) {
    assert.equal(resolveArch(name).id, id);
    assert.ok(!listed.includes(resolveArch(name).name));
  }
  assert.throws(() => resolveArch('wrn-29-10', undefined, { where: 'models' }), {
    code: 'E_CONFIG',
    message: 'models: wrn-29-10: expected a depth of 6n + 4',
  });
});

test('a width that is no multiple of the family’s step is refused', () => {
  const refused = (name: string, step: number, found: number, whole: string) =>
    assert.throws(() => resolveArch(name), {
      code: 'E_CONFIG',
      message: `arch: expected a width that is a multiple of ${step} for ${whole}, found ${found}`,
    });
  refused('t2tvit-w100', 64, 100, 't2t-vit-14');
  refused('DN121-w7', 2, 7, 'densenet121');
  refused('cifar-resnet20-w5', 2, 5, 'cifar-resnet20');
  for (const id of ['t2t-vit-14-w64', 'densenet121-w6', 'cifar-resnet20-w6', 'cifar-resnet20-b-w5']) {
    assert.equal(resolveArch(id).id, id);
  }
});
