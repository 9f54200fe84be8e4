import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterSchema } from '../../lib/config/cluster.js';
import type { Addon } from '../../lib/native/contract.js';
import { checkDevice, featureDevice } from '../../lib/run/device.js';

const on = (...devices: string[]) =>
  ({ info: () => ({ devices: ['cpu', ...devices], cuda: null }) }) as unknown as Addon;
const slurm = (more: object = {}) => clusterSchema.parse({ executor: 'slurm', ...more });

test('a local run makes features where it says, and where auto finds a place', () => {
  assert.equal(featureDevice({ device: 'auto', cluster: undefined }, on()), 'cpu');
  assert.equal(featureDevice({ device: 'auto', cluster: undefined }, on('cuda:0')), 'cuda:0');
  assert.throws(() => featureDevice({ device: 'cuda', cluster: undefined }, on()), { code: 'E_DEVICE' });
  assert.throws(() => checkDevice({ device: 'cuda', cluster: undefined }, on(), 'x.yaml'), {
    code: 'E_DEVICE',
    message: /^x\.yaml: device: /,
  });
});

test('on a cluster features have the same keys on machines with a GPU and without', () => {
  const where = (device: string, cluster = slurm()) =>
    [on(), on('cuda:0')].map((addon) => featureDevice({ device, cluster }, addon).split(':')[0]);
  assert.deepEqual(where('auto'), ['cpu', 'cpu']);
  assert.deepEqual(where('auto', slurm({ gpus: 1 })), ['cuda', 'cuda']);
  assert.deepEqual(where('auto', slurm({ gpus: 1, extract: { gpus: 0 } })), ['cpu', 'cpu']);
  assert.deepEqual(where('auto', slurm({ extract: { gpus: 1 } })), ['cuda', 'cuda']);
  assert.deepEqual(where('cuda'), ['cuda', 'cuda']);
  assert.deepEqual(where('cpu', slurm({ gpus: 1 })), ['cpu', 'cpu']);
  checkDevice({ device: 'cuda', cluster: slurm() }, on(), 'x.yaml');
});
