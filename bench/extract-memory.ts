/**
 * Extracts drawn images through one network in this process, which nothing else has used, and prints as JSON: rows, bytes of
 * the feature file, seconds, and by how many bytes the peak of the memory grew. A first extraction of a few rows has warmed
 * LibTorch up before.
 *
 *   node dist/bench/extract-memory.js ARCH CHECKPOINT CLASSES SPLIT FOLDER
 */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openData } from '../lib/data/open.js';
import { PLAIN } from '../lib/features/index.js';
import { archOptions, resolveArch } from '../lib/modes/arch.js';
import type { TransformOptions } from '../lib/native/contract.js';
import { getAddon } from '../lib/native/load.js';

const [name = '', checkpoint = '', classes = '', split = '', folder = ''] = process.argv.slice(2);
/** Small images: what counts is what is written. */
const transform: TransformOptions = {
  ...{ resize: 8, fit: 'both', filter: 'bilinear', crop: 8 },
  ...{ mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
};

/** A figure of /proc/self/status in bytes. */
function memory(field: 'VmRSS' | 'VmHWM'): number {
  const kilobytes = new RegExp(`^${field}:\\s*(\\d+) kB$`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return Number(kilobytes) * 1024;
}

async function extract(spec: string) {
  using set = await openData(spec);
  // Set apart from what opening takes: an index or, here, the drawn images.
  const before = memory('VmRSS');
  // Sets VmHWM to VmRSS.
  writeFileSync('/proc/self/clear_refs', '5');
  const path = join(folder, `${process.pid}.safetensors`);
  const outputs = [{ pass: PLAIN, path, storage: 'float32' as const, metadata: {} }];
  const members = [{ arch: archOptions(resolveArch(name), Number(classes)), checkpoint, outputs, stageScores: [] }];
  const machine = { batchSize: 100, device: 'cpu', precision: 'float32' as const, threads: 1, workers: 1 };
  const job = getAddon().extract({ members, data: set.handle, transform, ...machine }, () => {});
  const { count: rows, seconds } = await job.done;
  const { size: bytes } = statSync(path);
  rmSync(path);
  return { rows, bytes, seconds, growth: memory('VmHWM') - before };
}

await extract('builtin:blends');
console.log(JSON.stringify(await extract(`builtin:shapes?split=${split}`)));
