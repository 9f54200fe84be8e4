/** Whether a feature file holds what it says: every number of it is looked at, in bounded memory. */
import { createHash } from 'node:crypto';
import { readSource } from './key.js';
import {
  elementsOf,
  NUMBERS,
  openSafetensors,
  readElements,
  type Safetensors,
  type TensorInfo,
} from './safetensors.js';
import { FeatureFile } from './store.js';

/** Told the bytes that were read since the last call; throws E_ABORTED to end the work. */
export type Tick = (bytes: number) => void;

/** Elements in memory at a time. */
const BLOCK = 1 << 19;
/** So many rows of a tensor are named. */
const ROWS_SHOWN = 3;

/**
 * Header, sizes and rows; that name, key and what the key was made of agree; that all numbers are finite, labels are at
 * least 0, and each prediction is the class of the largest logit.
 *
 * @returns what is wrong, a sentence each
 * @throws ModeEnsembleError E_DATA where the file is damaged, E_IO
 */
export async function verifyFeatures(path: string, key: string, tick: Tick): Promise<string[]> {
  const { metadata, classes } = await FeatureFile.open(path);
  const file = await openSafetensors(path);
  const faults: string[] = [];
  if (metadata.key !== key) faults.push(`expected the key ${key}, as in the name, found ${metadata.key}.`);
  faults.push(...sourceFaults(metadata, file, classes));
  faults.push(...(await verifyTensors(file, tick)));
  const labels = file.tensors.get('labels') as TensorInfo;
  faults.push(...(await rowFaults(file, labels, tick, (label) => label >= 0, 'a number of at least 0')));
  faults.push(...(await predictionFaults(file, classes, tick)));
  return faults;
}

/** Files of earlier versions do not say what their key was made of. */
function sourceFaults(metadata: Readonly<Record<string, string>>, file: Safetensors, classes: number): string[] {
  const text = metadata.source;
  if (text === undefined) return [];
  const source = readSource(metadata);
  const hash = createHash('sha256').update(text).digest('hex');
  if (!source || hash !== metadata.key) {
    return [`field __metadata__.source: expected what the key was made of, found a text of the SHA-256 ${hash}.`];
  }
  const faults: string[] = [];
  if (source.classes !== classes) faults.push(`expected logits of ${source.classes} classes, found ${classes}.`);
  const stored = source.storage === 'float16' ? 'F16' : 'F32';
  for (const { name, dtype } of file.tensors.values()) {
    if (!/^(stage\d+|penultimate)$/.test(name) || dtype === stored) continue;
    faults.push(`tensor "${name}": expected ${stored}, found ${dtype}.`);
  }
  return faults;
}

/** That no number of a tensor is NaN or infinite. */
export async function verifyTensors(file: Safetensors, tick: Tick): Promise<string[]> {
  const faults: string[] = [];
  for (const tensor of file.tensors.values()) {
    // Integers are read by those who know what they mean.
    if (!NUMBERS.includes(tensor.dtype) || tensor.dtype === 'I64') continue;
    faults.push(...(await rowFaults(file, tensor, tick, Number.isFinite, 'finite numbers')));
  }
  return faults;
}

type Values = Float32Array | Float64Array | BigInt64Array;

/** One sentence where elements of a tensor are not as expected, with the rows and the first of them. */
async function rowFaults(
  file: Safetensors,
  tensor: TensorInfo,
  tick: Tick,
  isRight: (value: number) => boolean,
  expected: string,
): Promise<string[]> {
  const width = elementsOf(tensor) / (tensor.shape[0] || 1);
  const wrong = new WrongRows(tensor.name);
  await eachBlock(file, tensor, tick, (values, begin) => {
    if (isRight === Number.isFinite && areFinite(values)) return;
    for (let i = 0; i < values.length; i++) {
      const value = Number(values[i]);
      if (!isRight(value)) wrong.add(Math.floor((begin + i) / width), expected, value);
    }
  });
  return wrong.faults();
}

/** Much faster than to ask each number. */
function areFinite(values: Values): boolean {
  if (values instanceof BigInt64Array) return true;
  let sum = 0;
  // NaN and infinities times 0 are NaN, which the sum keeps.
  for (let i = 0; i < values.length; i++) sum += (values[i] as number) * 0;
  return sum === 0;
}

/** A row may be longer than a block: what is known of it is carried from one to the next. */
async function predictionFaults(file: Safetensors, classes: number, tick: Tick): Promise<string[]> {
  const predictions = file.tensors.get('predictions');
  const logits = file.tensors.get('logits');
  if (!predictions || !logits || classes === 0) return [];
  const wrong = new WrongRows('predictions');
  let largest = Number.NEGATIVE_INFINITY;
  let chosen = Number.NaN;
  // Bytes of the logits were told before, when they were looked at.
  await eachBlock(
    file,
    logits,
    () => tick(0),
    async (values, begin) => {
      const firstRow = Math.floor(begin / classes);
      const rows = Math.floor((begin + values.length - 1) / classes) - firstRow + 1;
      const predicted = await readElements(file, predictions, firstRow, rows);
      for (let i = 0; i < values.length; i++) {
        const value = values[i] as number;
        const row = Math.floor((begin + i) / classes);
        const column = (begin + i) % classes;
        const prediction = Number(predicted[row - firstRow]);
        // Math.max passes NaN on: of NaN no class is the largest, and it was told already.
        largest = Math.max(largest, value);
        if (column === prediction) chosen = value;
        if (column < classes - 1) continue;
        // Where the largest logit stands twice, either class is right.
        const isRight = chosen === largest || Number.isNaN(largest);
        if (!isRight) wrong.add(row, 'the class of the largest logit', prediction);
        largest = Number.NEGATIVE_INFINITY;
        chosen = Number.NaN;
      }
    },
  );
  return wrong.faults();
}

async function eachBlock(
  file: Safetensors,
  tensor: TensorInfo,
  tick: Tick,
  use: (values: Values, begin: number) => void | Promise<void>,
): Promise<void> {
  const total = elementsOf(tensor);
  const bytes = total === 0 ? 0 : (tensor.end - tensor.begin) / total;
  for (let begin = 0; begin < total; begin += BLOCK) {
    const values = await readElements(file, tensor, begin, Math.min(BLOCK, total - begin));
    await use(values, begin);
    tick(values.length * bytes);
  }
}

/** The rows of a tensor in which something is wrong, as one sentence. */
class WrongRows {
  private readonly shown: number[] = [];
  private count = 0;
  private last = -1;
  private sentence = '';

  constructor(private readonly tensor: string) {}

  /** Rows come in order; one may come more than once. */
  add(row: number, expected: string, found: number): void {
    if (row === this.last) return;
    if (this.count === 0) this.sentence = `expected ${expected}, found ${found}`;
    this.last = row;
    this.count++;
    if (this.shown.length < ROWS_SHOWN) this.shown.push(row);
  }

  faults(): string[] {
    if (this.count === 0) return [];
    const more = this.count > this.shown.length ? ` and ${this.count - this.shown.length} more` : '';
    const rows = `row${this.count > 1 ? 's' : ''} ${this.shown.join(', ')}${more}`;
    return [`tensor "${this.tensor}", ${rows}: ${this.sentence}.`];
  }
}
