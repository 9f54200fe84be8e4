/**
 * What the index of a large image folder costs: seconds and memory, without a kept index, when it is kept, and with it, each
 * in a process of its own. The files are links to an empty one for each class, made for this and removed again. Linux.
 *
 *   node dist/bench/index.js [--classes 1000] [--images 1280] [--threads 2] [--reader folder] [--json]
 *
 * 1,280 images of 1,000 classes are as many as ImageNet has, and take a minute to make.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { ReaderName } from '../lib/native/contract.js';
import { getAddon } from '../lib/native/load.js';

const PAST = 1_600_000_000;

const { values } = parseArgs({
  options: {
    classes: { type: 'string', default: '1000' },
    images: { type: 'string', default: '1280' },
    threads: { type: 'string', default: '2' },
    reader: { type: 'string', default: 'folder' },
    json: { type: 'boolean', default: false },
    // What a child opens.
    open: { type: 'string' },
    cache: { type: 'string', default: '' },
  },
});
const options = {
  reader: values.reader as ReaderName,
  split: '',
  labels: '',
  root: '',
  threads: Number(values.threads),
  skipBadImages: false,
};

interface Opening {
  count: number;
  seconds: number;
  /** In bytes: of the peak while it was indexed, and of what the process holds afterwards. */
  peak: number;
  held: number;
}

/** A figure of /proc/self/status in bytes. */
function memory(field: 'VmRSS' | 'VmHWM'): number {
  const kilobytes = new RegExp(`^${field}:\\s*(\\d+) kB$`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return Number(kilobytes) * 1024;
}

async function measure(path: string): Promise<Opening> {
  const addon = getAddon();
  await addon.openData({ ...options, reader: 'builtin', path: 'noise', cache: '' }, () => {}).done.catch(() => {});
  const before = memory('VmRSS');
  // Sets VmHWM to VmRSS.
  writeFileSync('/proc/self/clear_refs', '5');
  const start = performance.now();
  const { count } = await addon.openData({ ...options, path, cache: values.cache }, () => {}).done;
  const seconds = (performance.now() - start) / 1000;
  return { count, seconds, peak: memory('VmHWM') - before, held: memory('VmRSS') - before };
}

function plant(root: string): void {
  for (let c = 0; c < Number(values.classes); c++) {
    const name = `n${String(c).padStart(8, '0')}`;
    mkdirSync(join(root, name), { recursive: true });
    const first = join(root, name, `${name}_0.JPEG`);
    closeSync(openSync(first, 'w'));
    utimesSync(first, PAST, PAST);
    for (let i = 1; i < Number(values.images); i++) linkSync(first, join(root, name, `${name}_${i}.JPEG`));
    // What changed a moment ago is not kept.
    utimesSync(join(root, name), PAST, PAST);
  }
  utimesSync(root, PAST, PAST);
}

function child(root: string, cache: string): Opening {
  const args = [fileURLToPath(import.meta.url), '--open', root, '--threads', values.threads, '--reader', values.reader];
  const { status, stdout, stderr } = spawnSync(process.execPath, [...args, '--cache', cache], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

if (values.open !== undefined) {
  console.log(JSON.stringify(await measure(values.open)));
} else {
  const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-bench-'));
  try {
    const [root, cache] = [join(folder, 'images'), join(folder, 'cache')];
    plant(root);
    const results = {
      'not kept': child(root, ''),
      'indexed and kept': child(root, cache),
      'from the kept index': child(root, cache),
    };
    if (values.json) {
      console.log(JSON.stringify({ cpu: cpus()[0]?.model, threads: options.threads, results }, null, 2));
    } else {
      const count = results['not kept'].count.toLocaleString('en');
      console.log(`${cpus()[0]?.model ?? 'unknown CPU'}; ${count} files, ${options.threads} threads`);
      for (const [name, { seconds, peak, held }] of Object.entries(results)) {
        const [most, rest] = [peak, held].map((bytes) => `${(bytes / 1e6).toFixed(1)} MB`);
        console.log(`${name.padEnd(20)} ${seconds.toFixed(2).padStart(6)} s   peak +${most}   held +${rest}`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
