/** Which architecture's weights a file holds, told by names and shapes alone. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { archOptions, resolveArch } from '../../lib/modes/arch.js';
import { openCheckpoints } from '../../lib/modes/checkpoints.js';
import { inspectCheckpoint } from '../../lib/modes/inspect.js';
import { initWeights, trace, writeNetworkInput, writeWithNorms } from '../helpers/networks.js';
import { readTensors, type Tensor, writeTensors } from '../helpers/safetensors.js';

const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-identify-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);
const fits = async (file: string) => (await inspectCheckpoint(file, { identify: true })).fits;

async function weightsOf(id: string, classes: number): Promise<string> {
  const file = at(`${id}.safetensors`);
  await initWeights(archOptions(resolveArch(id), classes), 5, file);
  return file;
}

describe('initial weights are told to be of', () => {
  const rows: [id: string, name: string, width: number, classes: number][] = [
    ['cifar-resnet18', 'cifar-resnet18', 64, 10],
    ['cifar-resnet18-w16', 'cifar-resnet18', 16, 7],
    ['cifar-resnet50-w4', 'cifar-resnet50', 4, 10],
    ['resnet18-w8', 'resnet18', 8, 10],
    ['resnet50-w8', 'resnet50', 8, 1000],
    ['cifar-resnet20', 'cifar-resnet20', 16, 10],
    ['cifar-resnet56-b', 'cifar-resnet56-b', 16, 100],
    ['cifar-resnet56-b-w4', 'cifar-resnet56-b', 4, 10],
    ['wrn-16-4', 'wrn-16-4', 16, 10],
    ['wrn-28-2-w4', 'wrn-28-2', 4, 10],
    ['densenet121', 'densenet121', 64, 12],
    ['densenet169-w8', 'densenet169', 8, 1],
    ['cifar-densenet-bc-100-w12', 'cifar-densenet-bc-100', 12, 10],
    ['t2t-vit-7', 't2t-vit-7', 256, 3],
    ['t2t-vit-7-w64', 't2t-vit-7', 64, 10],
    ['t2t-vit-14-w128', 't2t-vit-14', 128, 4],
  ];
  for (const [id, name, width, classes] of rows) {
    it(`${id} with ${classes} classes`, async () => {
      const file = await weightsOf(id, classes);
      assert.deepEqual(await fits(file), { name, width, classes });
      rmSync(file);
    });
  }
});

describe('no architecture is named', () => {
  it('for a Wide ResNet that is not listed', async () => {
    assert.equal(await fits(await weightsOf('wrn-10-2', 10)), null);
  });

  it('where nobody asked', async () => {
    assert.equal((await inspectCheckpoint(await weightsOf('cifar-resnet20-w4', 10))).fits, null);
  });

  it('where a tensor is missing, one is too many, or one has another shape', async () => {
    const { tensors } = readTensors(await weightsOf('cifar-resnet20-w4', 10));
    const changed = at('changed.safetensors');
    const told = async (change: (copy: Map<string, Tensor>) => void) => {
      const copy = new Map(tensors);
      change(copy);
      writeTensors(changed, Object.fromEntries(copy));
      return (await fits(changed))?.name ?? null;
    };
    const name = 'layer2.0.conv1.weight';
    const tensor = tensors.get(name) ?? assert.fail(`no ${name}`);
    assert.equal(await told(() => {}), 'cifar-resnet20');
    assert.equal(await told((copy) => copy.delete(name)), null);
    assert.equal(await told((copy) => copy.set('extra', tensor)), null);
    const shape = [...tensor.shape].reverse();
    assert.equal(await told((copy) => copy.set(name, { ...tensor, shape })), null);
  });
});

describe('a checkpoint that does not say its architecture', () => {
  it('is opened as what its weights are, and that is logged', async () => {
    const file = await weightsOf('cifar-resnet18-w8', 10);
    const messages: string[] = [];
    const onLog = ({ message }: { message: string }) => messages.push(message);
    const set = await openCheckpoints([file], { hooks: { onLog } });
    const [mode] = set.members;
    assert.deepEqual(
      [mode?.arch.id, mode?.classes, set.classes, mode?.transform.crop],
      ['cifar-resnet18-w8', 10, undefined, 32],
    );
    assert.deepEqual(messages, [`${file}: its weights are those of a cifar-resnet18-w8`]);
  });
});

describe('a DenseNet with the names of torchvision’s first releases', () => {
  const arch = archOptions(resolveArch('densenet121-w16'), 6);
  const [own, old] = [at('own.safetensors'), at('old.safetensors')];
  /** As published: `norm.1` for `norm1` inside a layer, and no batch counters. */
  const write = async (rename: (name: string) => string) => {
    writeWithNorms(own, await initWeights(arch, 9, own));
    const named = [...readTensors(own).tensors].filter(([name]) => !name.endsWith('num_batches_tracked'));
    writeTensors(old, Object.fromEntries(named.map(([name, tensor]) => [rename(name), tensor])));
  };
  const oldName = (name: string) => name.replace(/(denselayer\d+\.(?:norm|conv))([12]\.)/, '$1.$2');

  it('gives the same bytes', async () => {
    assert.equal(
      oldName('features.denseblock1.denselayer1.norm1.weight'),
      'features.denseblock1.denselayer1.norm.1.weight',
    );
    await write(oldName);
    assert.deepEqual(await fits(old), { name: 'densenet121', width: 16, classes: 6 });
    const [input, output] = [at('input.safetensors'), at('output.safetensors')];
    writeNetworkInput(input, 64, 6);
    const traced = async (checkpoint: string) => {
      await trace(arch, { checkpoint }, input, output);
      return readFileSync(output);
    };
    assert.ok((await traced(old)).equals(await traced(own)));
  });

  it('but others are not taken for them', async () => {
    for (const name of ['denselayer1.norm.3', 'denselayer1.norm.1.x', 'layer1.norm.1', 'denselayer.norm.1']) {
      await write((right) => right.replace('denselayer1.norm1', name));
      assert.equal(await fits(old), null, name);
    }
  });
});
