/** The passes of extraction: what they share, what they refuse, and how their results are stored. Parity: parity/detectors. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FeatureFile } from '../../lib/features/store.js';
import type {
  ArchOptions,
  ExtractMember,
  ExtractOptions,
  ExtractOutput,
  OpenDataResult,
  PassOptions,
  TransformOptions,
} from '../../lib/native/contract.js';
import { startJob } from '../../lib/native/job.js';
import { getAddon } from '../../lib/native/load.js';
import { npy } from '../helpers/arrays.js';
import { writeCifar } from '../helpers/cifar.js';
import { CIFAR_TRANSFORM, failure, open, quiet } from '../helpers/native.js';
import { initWeights, relativeError, writeWithNorms } from '../helpers/networks.js';
import { floats } from '../helpers/safetensors.js';

const addon = getAddon();
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-passes-'));
const IMAGES = 6;
let data: OpenDataResult;

before(async () => {
  data = await open({ path: writeCifar(join(folder, 'cifar'), 8, IMAGES), split: 'test' });
});
after(() => rmSync(folder, { recursive: true, force: true }));

const PLAIN: PassOptions = { kind: 'plain', temperature: 1, magnitude: 0, gradient: 'own' };
const RANK1: PassOptions = { ...PLAIN, kind: 'rank1' };
const PERTURBED: PassOptions = { kind: 'perturbed', temperature: 1000, magnitude: 0.0014, gradient: 'own' };
const SMALL: ArchOptions = { name: 'cifar-resnet18', width: 8, classes: 10, dropout: 0 };

let made = 0;
/** Outputs of the passes, each in a file of its own. */
function outputs(passes: readonly PassOptions[], storage: ExtractOutput['storage'] = 'float32'): ExtractOutput[] {
  return passes.map((pass) => {
    return { pass, path: join(folder, `${made++}.safetensors`), storage, metadata: { key: 'test' } };
  });
}

async function checkpointOf(arch: ArchOptions, seed = 1): Promise<string> {
  const path = join(folder, `${arch.name}-${arch.width}-${seed}.safetensors`);
  writeWithNorms(path, await initWeights(arch, seed, path));
  return path;
}

type Member = Omit<ExtractMember, 'stageScores'>;

function optionsOf(given: Member[], change: Partial<ExtractOptions> = {}): ExtractOptions {
  const usual = {
    members: given.map((member) => ({ ...member, stageScores: [] })),
    transform: CIFAR_TRANSFORM,
    batchSize: IMAGES,
    device: 'cpu',
    precision: 'float32' as const,
    threads: 1,
    workers: 1,
  };
  return { data: data.handle, ...usual, ...change };
}

async function filesOf(options: ExtractOptions): Promise<FeatureFile[][]> {
  await addon.extract(options, quiet).done;
  return Promise.all(
    options.members.map((member) => Promise.all(member.outputs.map(({ path }) => FeatureFile.open(path)))),
  );
}

async function extracted(
  passes: readonly PassOptions[],
  change: Partial<ExtractOptions> & { arch?: ArchOptions } = {},
): Promise<FeatureFile[]> {
  const { arch = SMALL, ...rest } = change;
  const checkpoint = arch.name === 'script' ? 'test/fixtures/scripts/logits.pt' : await checkpointOf(arch);
  const [files] = await filesOf(optionsOf([{ arch, checkpoint, outputs: outputs(passes) }], rest));
  return files as FeatureFile[];
}

const square = (side: number): TransformOptions => ({ ...CIFAR_TRANSFORM, resize: side, crop: side });

describe('one forward pass serves all outputs', () => {
  const cases: [string, number, number][] = [
    ['cifar-resnet18', 8, 32],
    ['cifar-resnet20', 8, 32],
    ['cifar-densenet-bc-100', 8, 32],
    ['wrn-10-1', 16, 32],
    ['resnet50', 8, 64],
    ['densenet121', 8, 64],
    // Blocks that are one node each (models/dense_block.h), on maps of odd sides.
    ['densenet121', 64, 67],
    ['t2t-vit-14', 64, 224],
    ['script', 0, 32],
  ];
  for (const [name, width, side] of cases) {
    it(`whose numbers are the same bits with a graph and without: ${name}`, async () => {
      const arch = { name, width, classes: 10, dropout: 0 };
      const transform = square(side);
      const canRank = name !== 'script';
      const [alone] = await extracted([PLAIN], { arch, transform });
      const all = [PERTURBED, PLAIN, ...(canRank ? [RANK1] : [])];
      const [perturbed, shared, rank1] = await extracted(all, { arch, transform });
      const same = async (tensor: string) =>
        assert.deepEqual(await shared?.tensor(tensor), await alone?.tensor(tensor), tensor);
      for (const tensor of ['logits', ...(alone?.stages ?? [])]) await same(tensor);
      if (alone?.penultimate) await same(alone.penultimate);
      if (canRank) {
        const [rankAlone] = await extracted([RANK1], { arch, transform });
        assert.deepEqual(await rank1?.logits(), await rankAlone?.logits());
      }
      // The step is small, but there is one; and other temperatures and magnitudes have their own gradients and steps.
      const logits = (await alone?.logits()) as Float32Array;
      const moved = relativeError((await perturbed?.logits()) as Float32Array, logits);
      assert.ok(moved > 1e-6 && moved < 0.3, `${moved}`);
    });
  }
});

describe('what is kept between jobs', () => {
  it('are networks, until their file changes or they are released', async () => {
    const path = join(folder, 'kept.safetensors');
    const [first, second] = [await checkpointOf(SMALL, 1), await checkpointOf(SMALL, 2)].map((file) =>
      readFileSync(file),
    );
    // Files that were changed at the same time have the same size too.
    const put = (bytes: Buffer, time: number) => {
      writeFileSync(path, bytes);
      utimesSync(path, time, time);
    };
    const logits = async (pass = PLAIN) => {
      const [[file] = []] = await filesOf(optionsOf([{ arch: SMALL, checkpoint: path, outputs: outputs([pass]) }]));
      return file?.logits();
    };
    put(second as Buffer, 1000);
    const ofSecond = await logits();
    put(first as Buffer, 1000);
    const [ofFirst, moved] = [await logits(), await logits(PERTURBED)];
    assert.notDeepEqual(ofFirst, ofSecond);

    const kept = addon.keepBetweenJobs();
    assert.deepEqual(await logits(), ofFirst);
    // Nobody looks into the file.
    put(Buffer.alloc((first as Buffer).length), 1000);
    assert.deepEqual(await logits(), ofFirst);
    // A network without gradients is no good for this.
    await assert.rejects(logits(PERTURBED), { code: 'E_CHECKPOINT' });
    put(first as Buffer, 1000);
    assert.deepEqual(await logits(PERTURBED), moved);
    put(Buffer.alloc((first as Buffer).length), 1000);
    assert.deepEqual(await logits(PERTURBED), moved);
    // One with gradients serves both.
    assert.deepEqual(await logits(), ofFirst);
    assert.deepEqual(await logits(PERTURBED), moved);
    put(second as Buffer, 2000);
    assert.deepEqual(await logits(), ofSecond);
    put(first as Buffer, 2000);
    assert.deepEqual(await logits(), ofSecond);
    kept.release();
    assert.deepEqual(await logits(), ofFirst);
    kept.release();
  });
});

describe('a perturbed pass', () => {
  it('lowers the loss of the prediction, and a larger step more so', async () => {
    const [plain, ...steps] = await extracted([
      PLAIN,
      { ...PERTURBED, magnitude: 0.0007 },
      PERTURBED,
      { ...PERTURBED, temperature: 1 },
    ]);
    const loss = async (file: FeatureFile | undefined, temperature: number) => {
      const predictions = (await plain?.predictions()) as Int32Array;
      const logits = (await file?.logits()) as Float32Array;
      return Array.from(predictions, (prediction, row) => {
        const z = Array.from(logits.subarray(row * 10, row * 10 + 10), (value) => value / temperature);
        return Math.log(z.reduce((sum, value) => sum + Math.exp(value), 0)) - (z[prediction] as number);
      });
    };
    const [still, half, whole] = await Promise.all([plain, steps[0], steps[1]].map((file) => loss(file, 1000)));
    for (let row = 0; row < IMAGES; row++) {
      const [a, b, c] = [still?.[row], half?.[row], whole?.[row]] as [number, number, number];
      assert.ok(a > b && b > c, `image ${row}: ${a}, ${b}, ${c}`);
      // The loss is nearly straight at this scale, so twice the step does nearly twice as much.
      assert.ok((a - c) / (a - b) > 1.5 && (a - c) / (a - b) < 2.5, `image ${row}: ${a - b}, ${a - c}`);
    }
    const [before, after] = await Promise.all([loss(plain, 1), loss(steps[2], 1)]);
    assert.ok(before.every((value, row) => value > (after[row] as number)));
  });

  it('adds up the gradients of the members before it, whatever else is made of these', async () => {
    const summed: PassOptions = { ...PERTURBED, gradient: 'accumulated' };
    const [a, b] = [await checkpointOf(SMALL, 1), await checkpointOf(SMALL, 2)];
    const member = (checkpoint: string, passes: PassOptions[]) => ({
      arch: SMALL,
      checkpoint,
      outputs: outputs(passes),
    });
    const both = await filesOf(optionsOf([member(a, [summed, PERTURBED]), member(b, [summed, PERTURBED])]));
    const [[first, firstOwn], [second, secondOwn]] = both as [[FeatureFile, FeatureFile], [FeatureFile, FeatureFile]];
    assert.deepEqual(await first.logits(), await firstOwn.logits());
    assert.notDeepEqual(await second.logits(), await secondOwn.logits());
    const [, [alone]] = (await filesOf(optionsOf([member(a, []), member(b, [summed])]))) as [[], [FeatureFile]];
    assert.deepEqual(await alone.logits(), await second.logits());
    const [[, turned]] = (await filesOf(optionsOf([member(b, [PLAIN, summed]), member(a, [PLAIN])]))) as [
      FeatureFile[],
    ];
    assert.deepEqual(await turned?.logits(), await secondOwn.logits());
  });

  for (const name of ['cifar-resnet18', 'cifar-resnet20', 'wrn-10-1', 'densenet121']) {
    it(`takes rank-1 parts away in bfloat16 as it does in float32: ${name}`, async () => {
      const width = name === 'densenet121' ? 64 : 16;
      const change = { arch: { name, width, classes: 10, dropout: 0 }, transform: square(64) };
      const [whole] = await extracted([RANK1], change);
      const [half] = await extracted([RANK1], { ...change, precision: 'bfloat16' });
      const error = relativeError((await half?.logits()) as Float32Array, (await whole?.logits()) as Float32Array);
      assert.ok(error < 0.1, `${error}`);
    });
  }

  it('steps from float32 pixels when the network computes in bfloat16', async () => {
    // Pixels from 1.02 to 2.02, where bfloat16 numbers are 0.0078 apart: rounded before the step, all would be as before.
    const mean: [number, number, number] = [-1.02, -1.02, -1.02];
    const transform = { ...CIFAR_TRANSFORM, mean, std: [1, 1, 1] as typeof mean };
    const passes = [PLAIN, { ...PERTURBED, magnitude: 0.0035 }];
    const [plain, moved] = await extracted(passes, { precision: 'bfloat16', transform });
    const [z, perturbed] = [(await plain?.logits()) as Float32Array, (await moved?.logits()) as Float32Array];
    for (let row = 0; row < IMAGES; row++) {
      assert.notDeepEqual(perturbed.subarray(row * 10, row * 10 + 10), z.subarray(row * 10, row * 10 + 10));
    }
  });

  it('does not depend on batches', async () => {
    const [whole] = await extracted([PERTURBED]);
    const [parts] = await extracted([PERTURBED], { batchSize: 4 });
    assert.ok(relativeError((await parts?.logits()) as Float32Array, (await whole?.logits()) as Float32Array) < 1e-4);
  });

  it('stops within a batch when it is told to, and leaves no file', async () => {
    const many = await open({ path: writeCifar(join(folder, 'many'), 1, 20_000), split: 'test' });
    const place = mkdtempSync(join(folder, 'aborted-'));
    const member = {
      arch: SMALL,
      checkpoint: await checkpointOf(SMALL),
      outputs: [PERTURBED, RANK1].map((pass) => {
        return { pass, path: join(place, pass.kind), storage: 'float32' as const, metadata: { key: 'test' } };
      }),
    };
    const controller = new AbortController();
    let asked = 0;
    const hooks = {
      signal: controller.signal,
      onProgress() {
        asked ||= performance.now();
        controller.abort();
      },
    };
    const job = startJob(
      (sink) => addon.extract(optionsOf([member], { data: many.handle, batchSize: 16 }), sink),
      hooks,
    );
    await assert.rejects(job.done, { code: 'E_ABORTED', message: 'The job was stopped.' });
    assert.ok(asked > 0 && performance.now() - asked < 5000);
    assert.deepEqual(readdirSync(place), []);
    addon.disposeData(many.handle);
  });
});

describe('a rank-1 pass', () => {
  const arch: ArchOptions = { name: 'cifar-resnet20', width: 8, classes: 10, dropout: 0 };
  const transform: TransformOptions = { ...CIFAR_TRANSFORM, mean: [0, 0, 0], std: [1, 1, 1] };

  /** A network whose stages are the image itself, every second or fourth pixel of it, in its first three channels. */
  async function mirror(pixel = 1): Promise<string> {
    const path = join(folder, `mirror-${pixel}.safetensors`);
    const { file, tensors } = await initWeights(arch, 1, path);
    for (const [name, tensor] of tensors) {
      if (tensor.shape.length !== 4) continue;
      const weight = floats(tensor).fill(0);
      // Channel c of the output is channel c of the image: the middle of a 3×3 kernel.
      if (name === 'conv1.weight') for (let c = 0; c < 3; c++) weight[(c * 3 + c) * 9 + 4] = pixel;
    }
    writeFileSync(path, file);
    return path;
  }

  /** Logits of images of three stripes, one a channel, so that colours are singular vectors and brightness is singular values. */
  async function logitsOf(pass: PassOptions, colours: readonly (readonly number[])[], checkpoint: string) {
    const pixels = new Uint8Array(colours.length * 32 * 32 * 3);
    for (const [i, colour] of colours.entries()) {
      for (let y = 0; y < 24; y++) {
        const c = y >> 3;
        for (let x = 0; x < 32; x++) pixels[((i * 32 + y) * 32 + x) * 3 + c] = colour[c] as number;
      }
    }
    const path = join(folder, `stripes-${made}.npy`);
    writeFileSync(path, npy('|u1', `(${colours.length}, 32, 32, 3)`, pixels));
    const { handle } = await open({ reader: 'npy', path, split: '' });
    const member = { arch, checkpoint, outputs: outputs([pass]) };
    const [[file]] = (await filesOf(optionsOf([member], { data: handle, transform }))) as [[FeatureFile]];
    addon.disposeData(handle);
    return file.logits();
  }

  it('takes the strongest singular vector away, also where it hardly stands out', async () => {
    const colours = [
      [255, 60, 30],
      [20, 255, 100],
      [251, 253, 255],
      [254, 255, 254],
      [0, 0, 9],
      [0, 0, 0],
    ];
    const left = colours.map((colour) => colour.map((value) => (value === Math.max(...colour) ? 0 : value)));
    const checkpoint = await mirror();
    const found = await logitsOf(RANK1, colours, checkpoint);
    const expected = await logitsOf(PLAIN, left, checkpoint);
    assert.ok(relativeError(found, expected) < 1e-6, `${relativeError(found, expected)}`);
    assert.ok(relativeError(await logitsOf(PLAIN, colours, checkpoint), expected) > 0.1);
  });

  it('takes any of several vectors that are equally strong', async () => {
    const found = await logitsOf(RANK1, [[200, 200, 200]], await mirror());
    assert.ok(found.every(Number.isFinite));
    assert.notDeepEqual(found, await logitsOf(PLAIN, [[200, 200, 200]], await mirror()));
  });

  it('leaves it to scoring to name images whose features are not finite', async () => {
    const found = await logitsOf(RANK1, [[255, 100, 50]], await mirror(Number.NaN));
    assert.ok(found.every(Number.isNaN));
  });
});

describe('outputs that cannot be made are refused before an image is read', () => {
  const cases: [string, Partial<ExtractOutput>, RegExp][] = [
    [
      'kind',
      { pass: { ...PLAIN, kind: 'rotated' as PassOptions['kind'] } },
      /^pass\.kind: expected plain, perturbed or rank1, found rotated\.$/,
    ],
    [
      'gradient',
      { pass: { ...PERTURBED, gradient: 'borrowed' as 'own' } },
      /^pass\.gradient: expected own or accumulated, found borrowed\.$/,
    ],
    [
      'temperature',
      { pass: { ...PERTURBED, temperature: 0 } },
      /^pass\.temperature: expected a number above 0, found 0/,
    ],
    [
      'magnitude',
      { pass: { ...PERTURBED, magnitude: -1 } },
      /^pass\.magnitude: expected a number of at least 0, found -1/,
    ],
    [
      'storage',
      { pass: RANK1, storage: 'float8' as 'float16' },
      /^storage: expected float32 or float16, found float8\.$/,
    ],
  ];
  for (const [field, change, message] of cases) {
    it(`by their ${field}`, async () => {
      const [usual] = outputs([PLAIN]);
      const output = { ...usual, ...change } as ExtractOutput;
      const member = { arch: SMALL, checkpoint: await checkpointOf(SMALL), outputs: [output] };
      const error = await failure(addon.extract(optionsOf([member]), quiet));
      assert.equal(error.code, 'E_CONFIG');
      assert.match(error.message, message);
    });
  }

  it('by the network', async () => {
    const script = { name: 'script', width: 0, classes: 10, dropout: 0 };
    const checkpoint = 'test/fixtures/scripts/logits.pt';
    const error = await failure(
      addon.extract(optionsOf([{ arch: script, checkpoint, outputs: outputs([RANK1]) }]), quiet),
    );
    assert.equal(error.code, 'E_CONFIG');
    assert.match(error.message, /^pass\.kind: rank1 .* which this network \(a TorchScript module\) does not give\.$/);
  });
});

describe('features stored as float16', () => {
  it('are the float32 ones rounded, and take half the bytes', async () => {
    const [wide] = await extracted([PLAIN]);
    const checkpoint = await checkpointOf(SMALL);
    const made = outputs([PLAIN, PERTURBED], 'float16');
    const [[half, perturbed]] = (await filesOf(optionsOf([{ arch: SMALL, checkpoint, outputs: made }]))) as [
      [FeatureFile, FeatureFile],
    ];
    assert.deepEqual(await half.logits(), await wide?.logits());
    assert.deepEqual(await half.predictions(), await wide?.predictions());
    assert.equal(perturbed.classes, 10);
    for (const stage of half.stages) {
      const [found, exact] = [await half.tensor(stage), (await wide?.tensor(stage)) as Float32Array];
      // Half a unit in the last of eleven binary digits; numbers below 2^-14 have fewer.
      for (const [i, value] of exact.entries()) {
        const most = Math.max(Math.abs(value) * 2 ** -11, 2 ** -25);
        assert.ok(Math.abs((found[i] as number) - value) <= most, `${stage}[${i}]: ${found[i]}, expected ${value}`);
      }
    }
    const bytes = readFileSync(half.path);
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0))));
    const { __metadata__: _, ...tensors } = header as Record<string, { dtype: string; data_offsets: [number, number] }>;
    assert.deepEqual(
      Object.values(tensors).map(({ dtype }) => dtype),
      ['I64', 'I64', 'F32', 'F16', 'F16', 'F16', 'F16', 'F16'],
    );
  });

  it('are refused where they are too large, with the image', async () => {
    const checkpoint = join(folder, 'large.safetensors');
    const { file, tensors } = await initWeights(SMALL, 1, checkpoint);
    const weight = tensors.get('layer4.1.bn2.weight');
    assert.ok(weight);
    floats(weight).fill(1e9);
    writeFileSync(checkpoint, file);
    const job = (storage: ExtractOutput['storage']) =>
      addon.extract(optionsOf([{ arch: SMALL, checkpoint, outputs: outputs([PLAIN], storage) }]), quiet);
    const error = await failure(job('float16'));
    assert.equal(error.code, 'E_NUMERIC');
    assert.match(
      error.message,
      /test_batch\.bin record 0: stage5 has the number \d+\.\d+, expected at most 65504 in float16; storage: float32 holds it\.$/,
    );
    await job('float32').done;
  });
});
