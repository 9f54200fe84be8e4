/**
 * Opens one checkpoint in this process, which nothing else has used, and prints what it took as JSON: seconds, and by how
 * many bytes the peak of the memory grew. A first, small network has warmed LibTorch up before.
 *
 *   node dist/bench/open-checkpoint.js WARM-ARCH WARM-FILE ARCH FILE CLASSES
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { archOptions, resolveArch } from '../lib/modes/arch.js';
import { getAddon } from '../lib/native/load.js';

const [warmArch = '', warmFile = '', arch = '', file = '', classes = ''] = process.argv.slice(2);

/** A figure of /proc/self/status in bytes. */
function memory(field: 'VmRSS' | 'VmHWM'): number {
  const kilobytes = new RegExp(`^${field}:\\s*(\\d+) kB$`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return Number(kilobytes) * 1024;
}

async function probe(name: string, checkpoint: string): Promise<number> {
  const options = { arch: archOptions(resolveArch(name), Number(classes)), checkpoint, size: 32 };
  return (await getAddon().probe(options, () => {}).done).seconds;
}

await probe(warmArch, warmFile);
const before = memory('VmRSS');
// Sets VmHWM to VmRSS.
writeFileSync('/proc/self/clear_refs', '5');
const seconds = await probe(arch, file);
console.log(JSON.stringify({ seconds, growth: memory('VmHWM') - before }));
