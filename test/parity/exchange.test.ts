/** Checkpoints to and from Python: what we write opens there, what is written there opens here, with the same logits. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { archOptions, resolveArch } from '../../lib/modes/arch.js';
import { convertCheckpoint } from '../../lib/modes/convert.js';
import { inspectCheckpoint } from '../../lib/modes/inspect.js';
import { initWeights, relativeError, trace, writeNetworkInput, writeWithNorms } from '../helpers/networks.js';
import { pythonWithTorch, runPython } from '../helpers/python.js';
import { floats, type Tensor } from '../helpers/safetensors.js';

const CLASSES = 12;
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-exchange-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const python = pythonWithTorch();
const skip = python ? false : 'there is no Python with torch';

async function logitsOf(name: string, checkpoint: string): Promise<Float32Array> {
  const arch = resolveArch(name);
  const [input, output] = [join(folder, 'input'), join(folder, 'output')];
  writeNetworkInput(input, arch.transform.crop, CLASSES);
  const { tensors } = await trace(archOptions(arch, CLASSES), { checkpoint }, input, output);
  return floats(tensors.get('logits') as Tensor);
}

describe('a checkpoint of ours opens in Python with the same logits (relative error below 1e-5)', { skip }, () => {
  for (const name of ['cifar-resnet18', 'wrn-28-10', 'resnet50', 'densenet121', 't2t-vit-14']) {
    it(name, async () => {
      const [own, pth] = [join(folder, `${name}.safetensors`), join(folder, `${name}.pth`)];
      writeWithNorms(own, await initWeights(archOptions(resolveArch(name), CLASSES), 3, own));
      await convertCheckpoint({ input: own, output: pth });
      const logits: number[] = JSON.parse(runPython(python as never, 'exchange.py', 'load', pth, name, `${CLASSES}`));
      const error = relativeError(await logitsOf(name, own), logits);
      assert.ok(error <= 1e-5, `relative error ${error}`);
      const back = join(folder, `${name}-back.safetensors`);
      await convertCheckpoint({ input: pth, output: back });
      const [before, after] = [own, back].map((file) => floatsOf(file));
      assert.deepEqual(after, before);
      for (const file of [own, pth, back]) rmSync(file);
    });
  }
});

/** The bytes behind a safetensors header: headers differ by `format: pt`, which only foreign files have. */
function floatsOf(file: string): Buffer {
  const bytes = readFileSync(file);
  return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)));
}

describe("Python's checkpoints open here with the same logits (relative error below 1e-5)", { skip }, () => {
  for (const name of ['cifar-resnet20', 'cifar-resnet18', 'resnet18', 'densenet121', 't2t-vit-7']) {
    it(name, async () => {
      const at = join(folder, `python-${name}`);
      const { logits, files }: { logits: number[]; files: string[] } = JSON.parse(
        runPython(python as never, 'exchange.py', 'save', at, name, `${CLASSES}`),
      );
      assert.ok(files.length >= 4);
      for (const file of files) {
        const { fits } = await inspectCheckpoint(file, { identify: true });
        assert.equal(fits?.name, name, file);
        assert.equal(fits?.classes, CLASSES, file);
        const error = relativeError(await logitsOf(name, file), logits);
        assert.ok(error <= 1e-5, `${file}: relative error ${error}`);
      }
      rmSync(at, { recursive: true });
    });
  }
});
