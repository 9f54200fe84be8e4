import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { trainSchema } from '../../lib/config/schema.js';
import { openData } from '../../lib/data/open.js';
import { archOptions, resolveArch } from '../../lib/modes/arch.js';
import { openCheckpoints } from '../../lib/modes/checkpoints.js';
import { convertCheckpoint } from '../../lib/modes/convert.js';
import { inspectCheckpoint } from '../../lib/modes/inspect.js';
import { trainMode } from '../../lib/modes/train.js';
import { overrideTransform } from '../../lib/modes/transform.js';
import { writeCifar } from '../helpers/cifar.js';
import { initWeights } from '../helpers/networks.js';
import { readTensors, type Tensor, writeTensors } from '../helpers/safetensors.js';

const FIXTURES = 'test/fixtures/checkpoints';
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-convert-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
/** A name in the folder that nothing has yet. */
const fresh = (suffix: string) => join(folder, `file-${files++}${suffix}`);

const weightsOf = (name: string, classes: number, output: string) =>
  initWeights(archOptions(resolveArch(name), classes), 3, output);

/** Name, type and shape of the tensors of a file, in its order. */
async function layout(file: string): Promise<string[]> {
  const { tensors } = await inspectCheckpoint(file);
  return tensors.map(({ name, dtype, shape }) => `${name.replace(/^state_dict\./, '')} ${dtype} [${shape}]`);
}

const bytesOf = (file: string) => [...readTensors(file).tensors.values()].map(({ bytes }) => bytes.toString('hex'));

/** As in errors: how many, and the first ten. */
const list = (what: string, names: readonly string[]) =>
  `${names.length} ${what} (${names.slice(0, 10).join(', ')}${names.length > 10 ? ', …' : ''})`;

describe('a trained mode as a .pth', () => {
  const pth = fresh('.pth');
  let checkpoint: string;

  before(async () => {
    const cifar = writeCifar(join(folder, 'cifar'), 16);
    using train = await openData(`cifar10:${cifar}?split=train`);
    using test = await openData(`cifar10:${cifar}?split=test`);
    const arch = resolveArch('cifar-resnet18-w4');
    const transform = overrideTransform(arch.transform, { mean: [0.1, 0.2, 0.3], crop: 30 });
    const settings = trainSchema.parse({ epochs: 1, batchSize: 8 });
    const sets = { train, test, threads: 1, workers: 1 };
    const mode = await trainMode({ arch, seed: 1100, settings, transform, ...sets, folder: join(folder, 'mode') });
    checkpoint = mode.checkpoint;
    await convertCheckpoint({ input: checkpoint, output: pth });
  });

  it('comes back byte for byte', async () => {
    const back = fresh('.safetensors');
    await convertCheckpoint({ input: pth, output: back });
    assert.ok(readFileSync(back).equals(readFileSync(checkpoint)));
  });

  it('is the same mode to an evaluation', async () => {
    const said = async (file: string) => {
      const { members, ...others } = await openCheckpoints([file]);
      return {
        ...others,
        members: members.map(({ name, arch, transform, classes }) => ({ name, arch, transform, classes })),
      };
    };
    const found = await said(pth);
    assert.deepEqual(found, await said(checkpoint));
    const [mode] = found.members;
    assert.deepEqual(
      [found.members.length, mode?.name, mode?.arch.id, mode?.classes, found.classes?.length],
      [1, '1100', 'cifar-resnet18-w4', 10, 10],
    );
    assert.deepEqual([mode?.transform.mean, mode?.transform.crop], [[0.1, 0.2, 0.3], 30]);
  });

  it('has the same bytes whatever it is called', async () => {
    const other = fresh('.bin');
    await convertCheckpoint({ input: checkpoint, output: other });
    assert.ok(readFileSync(other).equals(readFileSync(pth)));
  });

  it('tells its tensors and their bytes', async () => {
    const { tensors } = readTensors(checkpoint);
    const bytes = [...tensors.values()].reduce((sum, tensor) => sum + tensor.bytes.length, 0);
    assert.deepEqual(await convertCheckpoint({ input: checkpoint, output: fresh('.pt') }), {
      tensors: tensors.size,
      bytes,
    });
  });
});

describe('the output', () => {
  const input = join(FIXTURES, 'zip-training.pth');

  it('that is there is replaced with force alone', async () => {
    const output = fresh('.safetensors');
    writeFileSync(output, 'mine');
    await assert.rejects(convertCheckpoint({ input, output }), {
      code: 'E_CONFIG',
      message: `${output}: is there already; --force replaces it`,
    });
    assert.equal(readFileSync(output, 'utf8'), 'mine');
    await convertCheckpoint({ input, output, force: true });
    assert.equal((await inspectCheckpoint(output)).format, 'safetensors');
  });

  it('is another file than the input, even with force', async () => {
    const own = fresh('.pth');
    const bytes = readFileSync(input);
    writeFileSync(own, bytes);
    const output = join(folder, '.', 'x', '..', own.slice(folder.length + 1));
    await assert.rejects(convertCheckpoint({ input: own, output, force: true }), {
      code: 'E_CONFIG',
      message: `${output}: expected another file than the one that is read`,
    });
    assert.ok(readFileSync(own).equals(bytes));
  });

  it('has a suffix that says the format', async () => {
    const suffixes = '.safetensors, .pth, .pt, .th, .tar, .bin';
    for (const [name, found] of [
      ['weights.onnx', '.onnx'],
      ['weights', ''],
    ]) {
      await assert.rejects(convertCheckpoint({ input, output: name as string }), {
        code: 'E_CONFIG',
        message: `${name}: expected a name that ends with ${suffixes}, found "${found}"`,
      });
    }
    const format = async (suffix: string) => {
      const output = fresh(suffix);
      await convertCheckpoint({ input, output });
      return (await inspectCheckpoint(output)).format;
    };
    assert.equal(await format('.SafeTensors'), 'safetensors');
    for (const suffix of ['.pth.tar', '.PTH', '.th', '.pt']) assert.equal(await format(suffix), 'torch zip', suffix);
  });

  it('leaves nothing behind in a folder that is not there', async () => {
    const output = join(folder, 'none', 'x.pth');
    for (const suffix of ['.pth', '.safetensors']) {
      const path = output.replace('.pth', suffix);
      await assert.rejects(convertCheckpoint({ input, output: path }), {
        code: 'E_IO',
        message: `${path}: cannot be written: No such file or directory.`,
      });
    }
    assert.equal(existsSync(join(folder, 'none')), false);
  });

  it('leaves nothing behind where a type has no place in the format', async () => {
    const own = join(folder, 'types');
    mkdirSync(own);
    const output = join(own, 'x.pth');
    await assert.rejects(convertCheckpoint({ input: join(FIXTURES, 'zip-dtypes.pth'), output }), {
      code: 'E_CHECKPOINT',
      message: `${output}: cannot be written: "complex64" is of type complex64.`,
    });
    assert.deepEqual(readdirSync(own), []);
  });

  it('of a job that is stopped does not appear', async () => {
    const output = fresh('.pth');
    await assert.rejects(convertCheckpoint({ input, output }, { signal: AbortSignal.abort() }), { code: 'E_ABORTED' });
    assert.equal(existsSync(output), false);
  });
});

describe('without an architecture', () => {
  it('order, types, shapes and bytes stay', async () => {
    const [all, own, pth, back] = [fresh('.safetensors'), fresh('.safetensors'), fresh('.pth'), fresh('.safetensors')];
    const input = join(FIXTURES, 'zip-dtypes.pth');
    await convertCheckpoint({ input, output: all });
    assert.deepEqual(await layout(all), await layout(input));
    const { tensors } = readTensors(all);
    // A .pth of ours takes neither.
    for (const name of ['complex64', 'float8']) assert.ok(tensors.delete(name));
    writeTensors(own, Object.fromEntries([...tensors].reverse()));
    await convertCheckpoint({ input: own, output: pth });
    assert.deepEqual(
      await layout(pth),
      (await layout(all)).filter((line) => !/^(complex|float8)/.test(line)).reverse(),
    );
    await convertCheckpoint({ input: pth, output: back });
    assert.deepEqual(await layout(back), await layout(own));
    assert.deepEqual(bytesOf(back), bytesOf(own));
  });

  it('float32 widens floating-point tensors alone', async () => {
    const expected: { files: { file: string; tensors: { name: string; dtype: string; float32?: string }[] }[] } =
      JSON.parse(readFileSync(join(FIXTURES, 'expected.json'), 'utf8'));
    const output = fresh('.safetensors');
    await convertCheckpoint({ input: join(FIXTURES, 'zip-dtypes.pth'), output, float32: true });
    const { tensors } = readTensors(output);
    const stored = expected.files.find(({ file }) => file === 'zip-dtypes.pth')?.tensors ?? [];
    const widened: string[] = [];
    for (const [index, { dtype }] of (await inspectCheckpoint(output)).tensors.entries()) {
      const { name, dtype: before, float32 } = stored[index] ?? assert.fail('more tensors than there were');
      if (dtype === before) continue;
      widened.push(before);
      assert.equal(dtype, 'float32');
      assert.equal(tensors.get(name.replace('state_dict.', ''))?.bytes.toString('hex'), float32, before);
    }
    assert.deepEqual(widened, ['float64', 'float16', 'bfloat16']);
  });

  it('names lose "module."', async () => {
    const output = fresh('.safetensors');
    await convertCheckpoint({ input: join(FIXTURES, 'zip-module.pth'), output });
    assert.deepEqual([...readTensors(output).tensors.keys()], ['w', 'b']);
  });

  it('names lose what DataParallel and torch.compile put in front, in any order', async () => {
    const [input, output] = [fresh('.safetensors'), fresh('.safetensors')];
    const one = { dtype: 'F32' as const, shape: [1], bytes: Buffer.alloc(4) };
    writeTensors(input, {
      '_orig_mod.a': one,
      'module._orig_mod.b': one,
      '_orig_mod.module.c': one,
      'd.module.e': one,
    });
    await convertCheckpoint({ input, output });
    assert.deepEqual([...readTensors(output).tensors.keys()], ['a', 'b', 'c', 'd.module.e']);
  });

  it('tensors without elements are kept and counted', async () => {
    const empty: Tensor = { dtype: 'F32', shape: [0, 3], bytes: Buffer.alloc(0) };
    const one: Tensor = { dtype: 'F32', shape: [], bytes: Buffer.from(Float32Array.of(1.5).buffer) };
    const [input, pth, back] = [fresh('.safetensors'), fresh('.pth'), fresh('.safetensors')];
    writeTensors(input, { empty, one });
    assert.deepEqual(await convertCheckpoint({ input, output: pth }), { tensors: 2, bytes: 4 });
    await convertCheckpoint({ input: pth, output: back });
    assert.deepEqual(Object.fromEntries(readTensors(back).tensors), { empty, one });
  });
});

describe('metadata', () => {
  const metadataOf = async (file: string) => (await inspectCheckpoint(file)).metadata;
  const converted = async (input: string, suffix: string) => {
    const output = fresh(suffix);
    await convertCheckpoint({ input, output });
    return output;
  };

  it('of a file that has none is format: pt, in safetensors alone', async () => {
    const safe = await converted(join(FIXTURES, 'zip-training.pth'), '.safetensors');
    assert.deepEqual(await metadataOf(safe), { format: 'pt' });
    const pth = await converted(safe, '.pth');
    assert.deepEqual(await metadataOf(pth), {});
    assert.doesNotMatch(readFileSync(pth, 'latin1'), /mode_ensemble/);
  });

  it('of another program is kept, and format: pt joins it in safetensors', async () => {
    const plain = join(FIXTURES, 'plain.safetensors');
    assert.deepEqual(await metadataOf(plain), { arch: 'x' });
    const pth = await converted(plain, '.pth');
    assert.deepEqual(await metadataOf(pth), { arch: 'x' });
    const safe = await converted(pth, '.safetensors');
    assert.deepEqual(await metadataOf(safe), { arch: 'x', format: 'pt' });
    assert.deepEqual(await metadataOf(await converted(safe, '.pth')), { arch: 'x' });
  });
});

describe('with an architecture', () => {
  it('names, order and batch counters are the network’s', async () => {
    const [own, input] = [fresh('.safetensors'), fresh('.safetensors')];
    const { tensors } = await weightsOf('cifar-resnet18-w4', 7, own);
    const foreign = [...tensors].filter(([name]) => !name.endsWith('num_batches_tracked')).reverse();
    assert.equal(tensors.size - foreign.length, 20);
    writeTensors(input, Object.fromEntries(foreign.map(([name, tensor]) => [`module.${name}`, tensor])));
    const arch = resolveArch('R18', 4);
    for (const suffix of ['.safetensors', '.pth']) {
      const output = fresh(suffix);
      // The classes are the checkpoint's.
      const { tensors: written } = await convertCheckpoint({ input, output, arch });
      assert.equal(written, tensors.size);
      assert.deepEqual(await layout(output), await layout(own));
      if (suffix === '.safetensors') assert.deepEqual(bytesOf(output), bytesOf(own));
    }
  });

  it('that is not listed, the classes are the checkpoint’s all the same', async () => {
    const [input, output] = [fresh('.safetensors'), fresh('.pth')];
    await weightsOf('wrn-10-1', 100, input);
    const { tensors } = await convertCheckpoint({ input, output, arch: resolveArch('wrn-10-1') });
    assert.equal(tensors, readTensors(input).tensors.size);
    assert.ok((await layout(output)).includes('linear.weight float32 [100,64]'));
  });

  it('that has more classes than the checkpoint, the last layer is named', async () => {
    const [input, output] = [fresh('.safetensors'), fresh('.pth')];
    const { tensors } = await weightsOf('cifar-resnet18-w4', 7, input);
    const [weight, bias] = [...tensors.keys()].slice(-2);
    await assert.rejects(convertCheckpoint({ input, output, arch: resolveArch('R18', 4), classes: 10 }), {
      code: 'E_CHECKPOINT',
      message:
        `${input}: does not fit the network: 2 of another shape (${weight}: expected float32 [10, 32], found float32 [7, 32], ` +
        `${bias}: expected float32 [10], found float32 [7]); it fits cifar-resnet18 of width 4 with 7 classes.`,
    });
    assert.equal(existsSync(output), false);
  });

  it('that does not fit, ten of each are listed and what fits is named', async () => {
    const [small, large] = [fresh('.safetensors'), fresh('.safetensors')];
    const names = [...(await weightsOf('cifar-resnet18-w4', 10, small)).tensors.keys()];
    const wide = (await weightsOf('cifar-resnet34-w8', 10, large)).tensors;
    const fails = (input: string, arch: string, problems: string[], fits: string) =>
      assert.rejects(convertCheckpoint({ input, output: fresh('.pth'), arch: resolveArch(arch) }), {
        code: 'E_CHECKPOINT',
        message: `${input}: does not fit the network: ${problems.join('; ')}; it fits ${fits} with 10 classes.`,
      });
    const isCounter = (name: string) => name.endsWith('num_batches_tracked');
    const narrow = readTensors(small).tensors;
    const shapes = [...wide].flatMap(([name, { shape }]) => {
      const found = narrow.get(name)?.shape;
      if (!found || `${found}` === `${shape}`) return [];
      return [`${name}: expected float32 [${shape.join(', ')}], found float32 [${found.join(', ')}]`];
    });
    const more = [...wide.keys()].filter((name) => !names.includes(name));
    assert.ok(shapes.length > 10 && more.length > 10);
    await fails(
      small,
      'cifar-resnet34-w8',
      [
        list('of another shape', shapes),
        list(
          'missing',
          more.filter((name) => !isCounter(name)),
        ),
      ],
      'cifar-resnet18 of width 4',
    );
    await fails(large, 'cifar-resnet18-w8', [list('unexpected', more)], 'cifar-resnet34 of width 8');
  });

  it('that nothing fits, nothing is named', async () => {
    const input = join(FIXTURES, 'plain.safetensors');
    await assert.rejects(convertCheckpoint({ input, output: fresh('.pth'), arch: resolveArch('R18') }), (error) => {
      const { message } = error as Error;
      assert.match(
        message,
        /^test\/fixtures\/checkpoints\/plain\.safetensors: does not fit the network: 102 missing \(/,
      );
      assert.match(message, / \(conv1\.weight, .*, …\); 2 unexpected \([wb], [wb]\)\.$/);
      return true;
    });
  });
});
