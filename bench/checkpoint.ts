/**
 * How long it takes to open a ResNet-50, and how much memory: ours from a .pth and from safetensors, and Python's
 * torch.load with load_state_dict, each in a process of its own, in turn. Linux.
 *
 *   node dist/bench/checkpoint.js [--rounds 5] [--json]
 *
 * Python is python3 with torch, or with the torch that set-up took LibTorch from; without one, ours alone. The files are
 * new, so that they are read from the page cache.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { archOptions, resolveArch } from '../lib/modes/arch.js';
import { convertCheckpoint } from '../lib/modes/convert.js';
import { inspectCheckpoint } from '../lib/modes/inspect.js';
import { getAddon, readAddonRecord } from '../lib/native/load.js';

const ARCH = 'resnet50';
const WARM = 'resnet18-w8';
const CLASSES = 1000;
const CHILD = fileURLToPath(new URL('open-checkpoint.js', import.meta.url));

interface Opening {
  seconds: number;
  /** Of the peak, in bytes. */
  growth: number;
  torch?: string;
}

interface Way {
  name: string;
  file: string;
  open: () => Opening;
}

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, json: { type: 'boolean', default: false } },
});
const rounds = Number(values.rounds);
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-bench-'));
const at = (name: string) => join(folder, name);

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Opening {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', env: { ...process.env, ...env } });
  if (status !== 0) throw new Error(`${command} ${args[0]} failed:\n${stderr}`);
  return JSON.parse(stdout);
}

/** What has to be in the environment for python3 to have torch; undefined where it cannot. */
function pythonEnvironment(): NodeJS.ProcessEnv | undefined {
  const libtorch = readAddonRecord()?.libtorch.path;
  const ways = [{}, ...(libtorch === undefined ? [] : [{ PYTHONPATH: dirname(libtorch) }])];
  return ways.find((env) => {
    const { status } = spawnSync('python3', ['-c', 'import torch'], { env: { ...process.env, ...env } });
    return status === 0;
  });
}

async function write(arch: string, name: string): Promise<void> {
  const [safetensors, pth] = [at(`${name}.safetensors`), at(`${name}.pth`)];
  const options = { arch: archOptions(resolveArch(arch), CLASSES), seed: 0, output: safetensors, metadata: {} };
  await getAddon().initWeights(options, () => {}).done;
  await convertCheckpoint({ input: safetensors, output: pth });
}

async function waysOf(python: NodeJS.ProcessEnv | undefined): Promise<Way[]> {
  const own = (format: string): Way => {
    const file = at(`large.${format}`);
    const args = [CHILD, WARM, at(`small.${format}`), ARCH, file, String(CLASSES)];
    return { name: `ours, ${format}`, file, open: () => run(process.execPath, args) };
  };
  const { tensors } = await inspectCheckpoint(at('large.safetensors'));
  const layout = JSON.stringify(tensors.map(({ name, dtype, shape }) => [name, dtype, shape]));
  const theirs = (name: string, ...flags: string[]): Way => {
    const file = at('large.pth');
    const args = ['bench/open_checkpoint.py', at('small.pth'), file, layout, ...flags];
    return { name, file, open: () => run('python3', args, python) };
  };
  const both = [own('pth'), own('safetensors')];
  return python ? [...both, theirs('torch.load'), theirs('torch.load, mmap=True', 'mmap')] : both;
}

try {
  await write(WARM, 'small');
  await write(ARCH, 'large');
  const python = pythonEnvironment();
  const ways = await waysOf(python);
  const openings = ways.map((): Opening[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, { open }] of ways.entries()) openings[index]?.push(open());
  }
  const results = ways.map(({ name, file }, index) => {
    const own = openings[index] ?? [];
    const seconds = own.map((opening) => opening.seconds);
    const bytes = statSync(file).size;
    return {
      name,
      bytes,
      seconds: { median: median(seconds), min: Math.min(...seconds), max: Math.max(...seconds) },
      // Of the peak, over the file's size.
      growth: median(own.map(({ growth }) => growth)) / bytes,
    };
  });
  const torch = openings.flat().find((opening) => opening.torch !== undefined)?.torch;
  const { libtorch } = getAddon().info();
  if (values.json) {
    console.log(JSON.stringify({ cpu: cpus()[0]?.model, libtorch, torch, arch: ARCH, rounds, results }, null, 2));
  } else {
    console.log(`${cpus()[0]?.model ?? 'unknown CPU'}; LibTorch ${libtorch}`);
    console.log(`Opening a ${ARCH}, from the page cache, ${rounds} rounds`);
    const head = ['', 'MB', 'seconds', 'min', 'max', 'peak growth / file'];
    const rows = results.map(({ name, bytes, seconds: { median, min, max }, growth }) => [
      name,
      (bytes / 1e6).toFixed(1),
      ...[median, min, max].map((value) => value.toFixed(3)),
      growth.toFixed(2),
    ]);
    const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => (row[column] ?? '').length)));
    for (const row of [head, ...rows]) {
      const cells = row.map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      });
      console.log(cells.join('  '));
    }
    console.log(torch ? `torch.load is that of PyTorch ${torch}` : 'There is no python3 with torch to compare with.');
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
