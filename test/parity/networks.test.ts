import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ArchitectureInfo } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { quiet } from '../helpers/native.js';
import {
  gradientError,
  IMAGES,
  initWeights,
  layoutOf,
  type NetworkFixture,
  reducedWidth,
  relativeError,
  type Summary,
  sha256,
  summarise,
  summaryError,
  trace,
  writeNetworkInput,
  writeWithNorms,
} from '../helpers/networks.js';
import { floats, type Tensor } from '../helpers/safetensors.js';

const FIXTURES = 'test/fixtures/networks';
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-networks-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const scratch = (name: string): string => join(folder, name);

const addon = getAddon();
// LibTorch's plain kernels round a draw's last bit otherwise than those for AVX2 and AVX-512, in Python as here.
const { cpuCapability } = addon.info();
const noBits = /^AVX(2|512)/.test(cpuCapability) ? false : `the bits are those of AVX2, and this is ${cpuCapability}`;

describe('the registry', () => {
  it('has a fixture for each architecture, and no other', () => {
    const files = readdirSync(FIXTURES).map((name) => name.replace(/\.json$/, ''));
    assert.deepEqual(
      files.sort(),
      addon
        .architectures()
        .map(({ name }) => name)
        .sort(),
    );
  });
});

for (const info of addon.architectures()) {
  describe(info.name, () => {
    const fixture: NetworkFixture = JSON.parse(readFileSync(join(FIXTURES, `${info.name}.json`), 'utf8'));
    full(info, fixture);
    reduced(info, fixture);
  });
}

/** At the published width, against Python. */
function full(info: ArchitectureInfo, fixture: NetworkFixture): void {
  const arch = { name: info.name, width: info.width, classes: fixture.classes, dropout: info.dropout };
  let layout: string[];
  let hashes: Map<string, string>;
  let loose: Map<string, Tensor>;
  let pass: Awaited<ReturnType<typeof trace>>;
  const tensor = (name: string): Tensor => pass.tensors.get(name) as Tensor;

  before(async () => {
    const initial = await initWeights(arch, fixture.seed, scratch('initial'));
    layout = layoutOf(initial.tensors);
    hashes = new Map([...initial.tensors].map(([name, { bytes }]) => [name, sha256(bytes).slice(0, 8)]));
    const names = Object.keys(fixture.loose);
    loose = new Map(names.map((name) => [name, initial.tensors.get(name) as Tensor]));
    writeWithNorms(scratch('weights'), initial);
    writeNetworkInput(scratch('input'), fixture.size, fixture.classes);
    pass = await trace(arch, { checkpoint: scratch('weights') }, scratch('input'), scratch('output'));
  });

  it("has Python's defaults, names, shapes and parameters", () => {
    const { width, dropout, transform } = info;
    const { width: w, dropout: d, size } = fixture;
    assert.deepEqual({ width, dropout, size: transform.crop }, { width: w, dropout: d, size });
    assert.deepEqual([layout.slice(0, 3), layout.slice(-3)], [fixture.first, fixture.last]);
    assert.equal(layout.length, fixture.tensors);
    assert.equal(sha256(layout.join('\n')), fixture.layout);
    assert.equal(pass.result.tensors, fixture.tensors);
    assert.equal(pass.result.parameters, fixture.parameters);
  });

  it('begins with the very bits that torch.manual_seed gives', { skip: noBits }, () => {
    const wrong = [...hashes].filter(([name, hash], i) => {
      return !(name in fixture.loose) && hash !== fixture.weights.slice(8 * i, 8 * i + 8);
    });
    assert.deepEqual(
      wrong.map(([name]) => name),
      [],
    ); // prettier in a failure than two long texts
    for (const [name, summary] of Object.entries(fixture.loose)) {
      const error = summaryError(summarise(loose.get(name) as Tensor), summary);
      assert.ok(error < 1e-5, `${name}: relative error ${error}`);
    }
  });

  it('gives the logits, penultimate feature and stages of Python (relative error below 1e-5)', () => {
    const names = Object.keys(fixture.outputs).filter((name) => name !== 'input_gradient');
    for (const name of names) {
      const error = summaryError(summarise(tensor(name)), fixture.outputs[name] as never);
      assert.ok(error <= 1e-5, `${name}: relative error ${error}`);
    }
  });

  it('gives the gradient of the loss by the input (1e-4 in float32, or 1e-6 in float64 where ReLUs lie within rounding of 0)', async () => {
    const expected = fixture.outputs.input_gradient as Summary & { roundoff: number };
    const error = gradientError(summarise(tensor('input_gradient')), expected);
    if (error <= 1e-4) return;
    // Of millions of ReLUs some lie within rounding of 0, and one on the other side makes some 1e-4: then float32 must
    // be as near to float64 as Python's float32 is, and float64 must agree.
    const bound = Math.max(1e-3, 10 * expected.roundoff);
    assert.ok(error <= bound, `float32: relative error ${error}, bound ${bound}`);
    const exact = await trace(arch, { checkpoint: scratch('weights') }, scratch('input'), scratch('exact'), 'float64');
    const exactError = gradientError(summarise(exact.tensors.get('input_gradient') as Tensor), expected);
    assert.ok(exactError <= 1e-6, `float64: relative error ${exactError}`);
  });

  it('has the stages that the registry names', () => {
    assert.deepEqual(tensor('logits').shape, [IMAGES, fixture.classes]);
    const stages = info.stages.map((channels, k) => [tensor(`stage${k + 1}`).shape.slice(0, 2), [IMAGES, channels]]);
    for (const [found, expected] of stages) assert.deepEqual(found, expected);
    assert.ok(!pass.tensors.has(`stage${info.stages.length + 1}`));
    const [, features] = tensor('penultimate').shape;
    assert.deepEqual(tensor('last_layer').shape, [fixture.classes, features]);
  });

  it('has a head that makes the same logits of the last map and of the penultimate feature', () => {
    const logits = floats(tensor('logits'));
    for (const name of ['head_map', 'head_vector']) {
      const error = relativeError(floats(tensor(name)), logits);
      assert.ok(error <= 1e-5, `${name}: relative error ${error}`);
    }
  });

  it('goes on to the same logits from the last stage but one', () => {
    // T2T-ViT and modules of others go on from the last stage alone, or not at all.
    if (!pass.tensors.has('resumed')) return assert.match(info.name, /^t2t-vit-/);
    const error = relativeError(floats(tensor('resumed')), floats(tensor('logits')));
    assert.ok(error <= 1e-5, `relative error ${error}`);
  });

  it('lets the loss reach every trained parameter', () => assert.deepEqual(pass.result.withoutGradient, []));
}

/** At about an eighth of the width, with seven classes. */
function reduced(info: ArchitectureInfo, fixture: NetworkFixture): void {
  const { width, classes } = fixture.reduced;
  const arch = { name: info.name, width, classes, dropout: info.dropout };

  it('scales with the width', async () => {
    assert.equal(width, reducedWidth(info));
    const initial = await initWeights(arch, fixture.seed, scratch('initial'));
    assert.equal(sha256(layoutOf(initial.tensors).join('\n')), fixture.reduced.layout);
    writeWithNorms(scratch('weights'), initial);
    writeNetworkInput(scratch('input'), fixture.size, classes);
    const { tensors } = await trace(arch, { checkpoint: scratch('weights') }, scratch('input'), scratch('output'));
    const error = relativeError(floats(tensors.get('logits') as Tensor), fixture.reduced.logits);
    assert.ok(error <= 1e-5, `relative error ${error}`);
    const channels = info.stages.map((_, k) => tensors.get(`stage${k + 1}`)?.shape[1]);
    // Rounded down where a DenseNet's transition halves an odd number.
    assert.deepEqual(
      channels,
      info.stages.map((count) => Math.floor((count * width) / info.width)),
    );
  });

  it('is the same after its weights went through files, and another one from another seed', async () => {
    const first = (await initWeights(arch, fixture.seed, scratch('initial'))).file;
    const second = (await initWeights(arch, fixture.seed + 1, scratch('other'))).file;
    assert.ok(!first.equals(second));
    for (const [input, output, format] of [
      ['initial', 'torch', 'torch'] as const,
      ['torch', 'again', 'safetensors'] as const,
    ]) {
      const files = { input: scratch(input), output: scratch(output) };
      await addon.convert({ ...files, format, arch, float32: false, dictionary: '', metadata: {} }, quiet).done;
    }
    assert.ok(first.equals(readFileSync(scratch('again'))));
    writeNetworkInput(scratch('input'), fixture.size, classes);
    const drawn = await trace(arch, { seed: fixture.seed }, scratch('input'), scratch('output'));
    const read = await trace(arch, { checkpoint: scratch('torch') }, scratch('input'), scratch('output'));
    assert.ok(drawn.file.equals(read.file));
  });
}
