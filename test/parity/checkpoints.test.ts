/** Files of torch.save and safetensors, good and bad, against what PyTorch itself says is in them. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { ModeEnsembleError } from '../../lib/config/errors.js';
import { convertCheckpoint } from '../../lib/modes/convert.js';
import { inspectCheckpoint } from '../../lib/modes/inspect.js';
import { readTensors } from '../helpers/safetensors.js';

/** See make_checkpoint_fixtures.py. */
interface Expected {
  file: string;
  want?: string;
  error?: string | null;
  format: string;
  weightsError?: string | null;
  weightsIn: string;
  weights: [string, number][];
  /** Absent where only the error counts. */
  tensors?:
    | { name: string; dtype: string; shape: number[]; bytes?: string; float32?: string; readError?: string }[]
    | undefined;
  metadata: Record<string, string>;
  values?: [string, string][];
}

const FOLDER = 'test/fixtures/checkpoints';
const fixtures: { files: Expected[] } = JSON.parse(readFileSync(join(FOLDER, 'expected.json'), 'utf8'));
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-checkpoints-'));
after(() => rmSync(folder, { recursive: true, force: true }));

async function fault(work: Promise<unknown>): Promise<ModeEnsembleError> {
  try {
    await work;
  } catch (error) {
    return error as ModeEnsembleError;
  }
  throw new assert.AssertionError({ message: 'expected an error, found none' });
}

/** Every refusal is one sentence that begins with the file. */
function refuses({ code, message }: ModeEnsembleError, path: string, words: string): void {
  assert.equal(code, 'E_CHECKPOINT', message);
  assert.ok(message.startsWith(`${path}: `), message);
  assert.ok(message.includes(words), `${message}\nexpected: ${words}`);
}

const isReal = (dtype: string) => ['float64', 'float16', 'bfloat16'].includes(dtype);

describe('checkpoints of PyTorch', () => {
  for (const expected of fixtures.files) {
    const path = join(FOLDER, expected.file);
    const dictionary = expected.want ?? '';
    if (expected.error) {
      const words = expected.error;
      it(`${expected.file}: refused (${words})`, async () => {
        refuses(await fault(inspectCheckpoint(path, { dictionary })), path, words);
      });
      continue;
    }
    it(`${expected.file}: ${expected.tensors?.length ?? 'no'} tensors`, () => check(path, dictionary, expected));
  }
});

async function check(path: string, dictionary: string, expected: Expected): Promise<void> {
  const found = await inspectCheckpoint(path, { dictionary });
  assert.equal(found.format, expected.format);
  const listed = expected.tensors ?? [];
  const headers = listed.map(({ name, dtype, shape }) => ({ name, dtype, shape }));
  if (expected.tensors) assert.deepEqual(found.tensors, headers);
  assert.deepEqual(found.metadata, expected.metadata);
  for (const value of expected.values ?? []) {
    const same = found.values.find(([name]) => name === value[0]);
    assert.deepEqual(same, value);
  }
  const output = join(folder, 'out.safetensors');
  const convert = (float32: boolean) =>
    convertCheckpoint({ input: path, output, dictionary, float32, force: true }).then(
      () => readTensors(output).tensors,
    );
  if (expected.weightsError) {
    assert.ok(found.problem.includes(expected.weightsError), found.problem);
    refuses(await fault(convert(false)), path, expected.weightsError);
    return;
  }
  assert.equal(found.weightsIn, expected.weightsIn);
  assert.equal(found.weights, expected.weights.length);
  const unreadable = expected.weights.map(([, index]) => listed[index]?.readError).find(Boolean);
  if (unreadable) {
    refuses(await fault(convert(false)), path, unreadable);
    return;
  }
  const stored = await convert(false);
  const wide = await convert(true);
  const names = expected.weights.map(([name]) => name);
  assert.deepEqual([...stored.keys()].sort(), [...names].sort());
  for (const [name, index] of expected.weights) {
    const { bytes, float32, dtype, shape } = listed[index] as (typeof listed)[number];
    assert.deepEqual(stored.get(name)?.shape, shape);
    assert.equal(stored.get(name)?.bytes.toString('hex'), bytes, name);
    if (isReal(dtype)) assert.equal(wide.get(name)?.bytes.toString('hex'), float32, `${name} as float32`);
  }
}

describe('a damaged checkpoint', () => {
  const bytes = readFileSync(join(FOLDER, 'zip-training.pth'));
  const path = join(folder, 'damaged.pth');

  it('cut at any byte is refused with the file', async () => {
    for (let size = 0; size < bytes.length; size += 97) {
      writeFileSync(path, bytes.subarray(0, size));
      refuses(await fault(inspectCheckpoint(path)), path, '');
    }
  });

  it('with any one byte changed is either the same or refused', async () => {
    const output = join(folder, 'out.safetensors');
    await convertCheckpoint({ input: join(FOLDER, 'zip-training.pth'), output, force: true });
    const whole = readFileSync(output);
    let refused = 0;
    for (let at = 0; at < bytes.length; at += 61) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ 0x10;
      writeFileSync(path, changed);
      try {
        await convertCheckpoint({ input: path, output, force: true });
        // What is not covered by a checksum (padding, dates) must not matter.
        assert.ok(readFileSync(output).equals(whole), `byte ${at}`);
      } catch (error) {
        refuses(error as ModeEnsembleError, path, '');
        refused++;
      }
    }
    assert.ok(refused > 10, `${refused} were refused`);
  });
});
