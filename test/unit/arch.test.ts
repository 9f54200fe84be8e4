import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveArch } from '../../lib/modes/arch.js';
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
