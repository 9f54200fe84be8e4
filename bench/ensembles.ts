/**
 * What every ensemble of 3 of 10 stored modes costs, without a network: MSP and Energy of all 120, kNN of one.
 *
 *   npm run bench:ensembles -- [--modes 10] [--size 3] [--rows 10000] [--sets 5] [--bank 50000] [--width 512]
 *
 * The stored features are made up: ten classes with centres, sixteen directions in which images of a class differ (as trained
 * networks have few), and noise of the mode's own. They lie in a temporary folder (2.3 GB with the numbers above).
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { normal, uniform } from '../lib/bench/made-up-features.js';
import { SEARCH_MEMORY } from '../lib/config/schema.js';
import { subsetsOfSize } from '../lib/ensemble/index.js';
import type { NeighboursOptions } from '../lib/native/contract.js';
import { getAddon } from '../lib/native/load.js';
import { evaluate } from '../lib/run/evaluate.js';
import type { EvaluationInput, MemberFeatures, PassFiles } from '../lib/run/types.js';

const { values } = parseArgs({
  options: {
    modes: { type: 'string', default: '10' },
    size: { type: 'string', default: '3' },
    rows: { type: 'string', default: '10000' },
    sets: { type: 'string', default: '5' },
    bank: { type: 'string', default: '50000' },
    width: { type: 'string', default: '512' },
    threads: { type: 'string', default: String(availableParallelism()) },
  },
});
const [modes, size, rows, sets, bank, width, threads] = [
  values.modes,
  values.size,
  values.rows,
  values.sets,
  values.bank,
  values.width,
  values.threads,
].map(Number) as [number, number, number, number, number, number, number];
const CLASSES = 10;
const DIRECTIONS = 16;

/** A feature file of the plain pass; the images' own numbers come from `set`, so that all modes see the same images. */
function write(folder: string, mode: number, set: number, count: number): PassFiles {
  const [image, own] = [uniform(17 + set), uniform(5000 + 100 * mode + set)];
  const [shape, spread] = [normal(uniform(1000 + mode)), normal(image)];
  const centres = Float32Array.from({ length: CLASSES * width }, () => shape());
  const directions = Float32Array.from({ length: DIRECTIONS * width }, () => 0.3 * shape());
  const features = new Float32Array(count * width);
  const logits = new Float32Array(count * CLASSES);
  const labels = new BigInt64Array(count);
  const isOut = set > 1;
  const row = new Float32Array(width);
  for (let i = 0; i < count; i++) {
    const label = i % CLASSES;
    labels[i] = BigInt(label);
    // An OoD image lies between two classes.
    const other = isOut ? Math.floor(((image() + 1) / 2) * CLASSES) % CLASSES : label;
    for (let d = 0; d < width; d++) {
      row[d] = ((centres[label * width + d] as number) + (centres[other * width + d] as number)) / 2 + 0.1 * own();
    }
    for (let k = 0; k < DIRECTIONS; k++) {
      const along = spread();
      for (let d = 0; d < width; d++) row[d] = (row[d] as number) + along * (directions[k * width + d] as number);
    }
    for (let d = 0; d < width; d++) features[i * width + d] = Math.max(0, row[d] as number);
    for (let c = 0; c < CLASSES; c++) {
      let sum = 0;
      for (let d = 0; d < width; d++) sum += (centres[c * width + d] as number) * (features[i * width + d] as number);
      logits[i * CLASSES + c] = (10 * sum) / width;
    }
  }
  const parts = [
    { name: 'labels', dtype: 'I64', shape: [count], data: labels },
    { name: 'predictions', dtype: 'I64', shape: [count], data: labels },
    { name: 'logits', dtype: 'F32', shape: [count, CLASSES], data: logits },
    { name: 'stage5', dtype: 'F32', shape: [count, width], data: features },
  ];
  let at = 0;
  const header: Record<string, unknown> = { __metadata__: { key: 'made up', penultimate: 'stage5' } };
  for (const { name, dtype, shape: sides, data } of parts) {
    header[name] = { dtype, shape: sides, data_offsets: [at, at + data.byteLength] };
    at += data.byteLength;
  }
  const text = Buffer.from(JSON.stringify(header).padEnd(1024));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const path = join(folder, `${mode}-${set}.safetensors`);
  writeFileSync(path, Buffer.concat([length, text, ...parts.map(({ data }) => new Uint8Array(data.buffer))]));
  return { plain: path };
}

async function timed(input: EvaluationInput): Promise<number> {
  const start = performance.now();
  await evaluate(input);
  return (performance.now() - start) / 1000;
}

const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-bench-'));
try {
  const members = Array.from({ length: modes }, (_, mode): MemberFeatures => {
    process.stderr.write(`making mode ${mode + 1} of ${modes}\n`);
    return {
      name: String(mode),
      arch: 'made-up',
      train: write(folder, mode, 0, bank),
      test: write(folder, mode, 1, rows),
      out: Object.fromEntries(
        Array.from({ length: sets }, (_, set) => [`out${set}`, write(folder, mode, set + 2, rows)]),
      ),
    };
  });
  const ensembles = subsetsOfSize(
    members.map(({ name }) => name),
    size,
  );
  const input = { in: 'test', members, threads };
  const logits = await timed({
    ...input,
    ensembles,
    detectors: [
      { name: 'msp', parameters: {} },
      { name: 'energy', parameters: {} },
    ],
  });
  const ensemble = members.slice(0, size);
  const files = (pick: (member: MemberFeatures) => PassFiles) => ensemble.map((member) => pick(member).plain as string);
  const options: NeighboursOptions = {
    bank: files((member) => member.train as PassFiles),
    queries: [
      files((member) => member.test),
      ...Object.keys(members[0]?.out ?? {}).map((name) => files((member) => member.out[name] as PassFiles)),
    ],
    tensor: 'stage5',
    k: 50,
    threads,
    memory: SEARCH_MEMORY,
  };
  const rounds: number[] = [];
  for (let round = 0; round < 3; round++) {
    const start = performance.now();
    await getAddon().neighbours(options, () => {}).done;
    rounds.push((performance.now() - start) / 1000);
  }
  rounds.sort((x, y) => x - y);
  const memory = Math.round(process.resourceUsage().maxRSS / 1024);
  const about = `${cpus()[0]?.model.trim()}, ${threads} threads, Node ${process.versions.node}`;
  process.stdout.write(
    `${ensembles.length} ensembles of ${size} of ${modes} modes, ${rows} + ${sets} × ${rows} rows, bank ${bank} × ${width}; ${about}
MSP and Energy, all ensembles and modes: ${logits.toFixed(1)} s
kNN, one ensemble: ${(rounds[1] as number).toFixed(1)} s (${rounds.map((one) => one.toFixed(1)).join(', ')})
peak memory ${memory} MB
`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
