/**
 * How long the search for the k-th nearest neighbours of an ensemble takes: seconds, seconds of processor time a thread (which
 * other work on the machine changes less), and how many pairs are left after each step. Beside it, where Python has torch, how
 * long the product of float32 matrices alone would take for all pairs, at what this machine reaches at that moment.
 *
 *   node dist/bench/neighbours.js [--case noise,clusters,spread,given] [--rows 50000] [--queries 60000] [--width 512]
 *     [--members 3] [--k 50] [--threads 2] [--rounds 3] [--memory 1536] [--python python3] [--tensor stage5 --bank FILE,… --ask FILE,…] [--json]
 *
 * `noise`: rectified normal numbers, without any structure; `clusters`: ten centres with a little noise; `spread`: a hundred
 * with more; `given`: the features in --bank and --ask (a file a member), repeated until there are enough rows, every number
 * changed by about 2 %. Feature files are made for this and removed again. With `--python`, one that has faiss, and one member, its
 * IndexFlatL2 searches the same files in turn, and the distances are compared. `--memory` (MiB) bounds what is held of the bank.
 * The peak of this process's memory comes last, and on Linux that of its own pages, without those of mapped files.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { SEARCH_MEMORY } from '../lib/config/schema.js';
import { getAddon, readAddonRecord } from '../lib/native/load.js';
import { startPython } from './python.js';

/** Largest number of MiB seen so far that are this process's own pages; 0 where /proc does not say. */
let ownPages = 0;
function lookAtPages(): void {
  const kib = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  ownPages = Math.max(ownPages, Number(kib ?? 0) / 1024);
}

/** Fills a row of the features of member `member`. */
type Fill = (out: Float32Array, row: number, member: number) => void;

const { values } = parseArgs({
  options: {
    case: { type: 'string', default: 'noise,clusters,spread' },
    rows: { type: 'string', default: '50000' },
    queries: { type: 'string', default: '60000' },
    width: { type: 'string', default: '512' },
    members: { type: 'string', default: '3' },
    k: { type: 'string', default: '50' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    memory: { type: 'string', default: String(SEARCH_MEMORY) },
    tensor: { type: 'string', default: 'stage5' },
    bank: { type: 'string', default: '' },
    ask: { type: 'string', default: '' },
    python: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const rows = Number(values.rows);
const queries = Number(values.queries);
const [k, threads, rounds] = [Number(values.k), Number(values.threads), Number(values.rounds)];

/** Whole numbers below 2^32 from a linear congruential generator (Numerical Recipes' constants). */
function random(seed: number): () => number {
  let state = Math.imul(seed + 1, 2654435761) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
}

/** Normal numbers to draw from (Box, Muller): a million of them are enough for rows that have nothing in common. */
const POOL = (() => {
  const next = random(1);
  const uniform = () => (next() + 0.5) / 2 ** 32;
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  return Float32Array.from({ length: 1 << 20 }, normal);
})();

/** Normal numbers that belong to a row. */
function normals(...seed: number[]): () => number {
  const next = random(seed.reduce((sum, part) => (Math.imul(sum, 31) + part) | 0, 17));
  return () => POOL[next() >>> 12] as number;
}

const noise =
  (seed: number): Fill =>
  (out, row, member) => {
    const normal = normals(seed, row, member);
    for (let d = 0; d < out.length; d++) out[d] = Math.max(0, normal());
  };

const clusters =
  (count: number, spread: number) =>
  (seed: number): Fill =>
  (out, row, member) => {
    const centre = normals(row % count, member);
    const normal = normals(seed, row, member);
    for (let d = 0; d < out.length; d++) out[d] = Math.max(0, Math.abs(centre()) + spread * normal());
  };

/** The rows of `--tensor` in given files. */
function stored(paths: readonly string[]): { rows: number; width: number; fill: Fill } {
  const members = paths.map((path) => {
    const file = readFileSync(path);
    const begin = 8 + Number(file.readBigUInt64LE(0));
    const entry = JSON.parse(file.toString('utf8', 8, begin))[values.tensor];
    if (entry?.dtype !== 'F32') throw new Error(`${path}: expected float32 features "${values.tensor}"`);
    const [from, to] = entry.data_offsets;
    return {
      shape: entry.shape,
      features: new Float32Array(Uint8Array.from(file.subarray(begin + from, begin + to)).buffer),
    };
  });
  const [count, width] = members[0]?.shape as [number, number];
  const fill: Fill = (out, row, member) => {
    const normal = normals(row, member, 3);
    const at = (row % count) * width;
    const features = members[member]?.features as Float32Array;
    for (let d = 0; d < width; d++) out[d] = (features[at + d] as number) * (1 + 0.02 * normal());
  };
  return { rows: count, width, fill };
}

function write(path: string, count: number, width: number, member: number, fill: Fill): string {
  const header = JSON.stringify({
    [values.tensor]: { dtype: 'F32', shape: [count, width], data_offsets: [0, count * width * 4] },
  });
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const file = openSync(path, 'w');
  writeSync(file, Buffer.concat([length, Buffer.from(padded)]));
  const block = new Float32Array(width * Math.min(count, 1000));
  for (let row = 0; row < count; ) {
    const some = Math.min(count - row, block.length / width);
    for (let i = 0; i < some; i++) fill(block.subarray(i * width, (i + 1) * width), row + i, member);
    writeSync(file, new Uint8Array(block.buffer, 0, some * width * 4));
    row += some;
  }
  closeSync(file);
  return path;
}

/** GFLOP/s of a float32 matrix product in PyTorch; undefined where Python has none. */
function product(width: number): number | undefined {
  const script = `
import time, torch
torch.set_num_threads(${threads})
a, b = torch.rand(1024, ${width}), torch.rand(${width}, 20000)
a @ b
best = 1e9
for _ in range(3):
    start = time.perf_counter(); a @ b; best = min(best, time.perf_counter() - start)
print(2 * 1024 * 20000 * ${width} / best / 1e9)`;
  const libtorch = readAddonRecord()?.libtorch.path;
  const command = process.env.MODE_ENSEMBLE_PYTHON ?? 'python3';
  for (const env of [{}, ...(libtorch === undefined ? [] : [{ PYTHONPATH: dirname(libtorch) }])]) {
    const { status, stdout } = spawnSync(command, ['-c', script], {
      encoding: 'utf8',
      env: { ...process.env, ...env },
    });
    if (status === 0) return Number(stdout);
  }
  return undefined;
}

const list = (text: string) => text.split(',').filter((name) => name !== '');
const CASES: Record<string, () => { width: number; members: number; bank: Fill; ask: Fill }> = {
  noise: () => synthetic(noise),
  clusters: () => synthetic(clusters(10, 0.3)),
  spread: () => synthetic(clusters(100, 0.5)),
  given: () => {
    const [bank, ask] = [stored(list(values.bank)), stored(list(values.ask))];
    return { width: bank.width, members: list(values.bank).length, bank: bank.fill, ask: ask.fill };
  },
};

function synthetic(fill: (seed: number) => Fill) {
  return { width: Number(values.width), members: Number(values.members), bank: fill(1), ask: fill(2) };
}

async function measure(name: string) {
  const features = CASES[name]?.();
  if (features === undefined) throw new Error(`--case: expected ${Object.keys(CASES).join(', ')}, found ${name}`);
  const { width, members } = features;
  const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-bench-'));
  try {
    const all = Array.from({ length: members }, (_, m) => m);
    const options = {
      bank: all.map((m) => write(join(folder, `bank-${m}`), rows, width, m, features.bank)),
      queries: [all.map((m) => write(join(folder, `ask-${m}`), queries, width, m, features.ask))],
      tensor: values.tensor,
      k,
      threads,
      memory: Number(values.memory),
    };
    const runs = [];
    for (let round = 0; round < rounds; round++) {
      const gflops = product(width);
      const start = performance.now();
      const before = process.cpuUsage();
      const looking = process.platform === 'linux' ? setInterval(lookAtPages, 20) : undefined;
      const { search, distances } = await getAddon().neighbours(options, () => {}).done;
      clearInterval(looking);
      const { user, system } = process.cpuUsage(before);
      const seconds = (performance.now() - start) / 1000;
      const processor = (user + system) / 1e6 / threads;
      const productSeconds = gflops && (2 * rows * queries * width) / gflops / 1e9;
      const faiss = members === 1 ? await ofFaiss(options, distances[0] as Float32Array) : undefined;
      runs.push({ seconds, processor, gflops, productSeconds, faiss, ...search });
    }
    return { name, width, members, runs };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Faiss {
  seconds: number;
  /** The largest relative difference of a query's distance to its k-th neighbour. */
  difference: number;
}

/** The same search by faiss; undefined where no Python is given that has it. */
async function ofFaiss(
  options: { bank: string[]; queries: string[][] },
  ours: Float32Array,
): Promise<Faiss | undefined> {
  const [bank] = options.bank;
  const queries = options.queries[0]?.[0];
  const answer = await faiss?.ask<{ seconds: number; distances: string }>({ bank, queries, tensor: values.tensor, k });
  if (!answer) return undefined;
  const theirs = new Float32Array(Uint8Array.from(readFileSync(answer.distances)).buffer);
  const difference = ours.reduce((most, own, i) => {
    const other = theirs[i] as number;
    return Math.max(most, Math.abs(Math.abs(own) - other) / other);
  }, 0);
  return { seconds: answer.seconds, difference };
}

const faiss = values.python === undefined ? undefined : startPython(values.python, 'faiss_search.py', String(threads));
const results = [];
if (!values.json) {
  console.log(`${cpus()[0]?.model ?? 'unknown CPU'}, ${threads} threads; ${rows} × ${queries}, k = ${k}`);
}
for (const name of list(values.case)) {
  const result = await measure(name);
  results.push(result);
  if (values.json) continue;
  for (const run of result.runs) {
    const share = (part = 0, whole = 1) => `${((100 * part) / whole).toFixed(3)} %`;
    console.log(
      `${name.padEnd(9)} D = ${result.width}, ${result.members} members: ${run.seconds.toFixed(2)} s` +
        ` (${run.processor.toFixed(2)} s of processor a thread); sketch of ${run.width}, passed ${share(run.passed, run.pairs)},` +
        ` computed ${((run.computed ?? 0) / queries).toFixed(1)} a query` +
        (run.faiss
          ? `; faiss ${run.faiss.seconds.toFixed(2)} s, ratio ${(run.seconds / run.faiss.seconds).toFixed(2)}, distances within ${run.faiss.difference.toExponential(1)}`
          : '') +
        (run.gflops ? `; float32 product ${run.gflops.toFixed(0)} GFLOP/s, ${run.productSeconds?.toFixed(1)} s` : ''),
    );
  }
}
if (values.json) console.log(JSON.stringify({ cpu: cpus()[0]?.model, threads, rows, queries, k, results }, null, 2));
else {
  const own = ownPages > 0 ? `, of which its own pages while it searched ${ownPages.toFixed(0)} MiB` : '';
  console.log(`peak memory ${(process.resourceUsage().maxRSS / 2 ** 20).toFixed(2)} GiB${own}`);
}
faiss?.end();
