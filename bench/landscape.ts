/**
 * Speed of points of a loss surface: networks frozen at each point or left as they are, one network a thread or one for all
 * threads, by batch size. `npm run bench:landscape -- --checkpoint FILE --arch cifar-resnet18 --width 16 --images 1000`
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { openData } from '../lib/data/open.js';
import { archOptions, resolveArch } from '../lib/modes/arch.js';
import { getAddon } from '../lib/native/load.js';

const { values } = parseArgs({
  options: {
    checkpoint: { type: 'string', default: '' },
    arch: { type: 'string', default: 'cifar-resnet18' },
    width: { type: 'string', default: '16' },
    images: { type: 'string', default: '1000' },
    points: { type: 'string', default: '8' },
    batches: { type: 'string', default: '16,32,50,100,250' },
    rounds: { type: 'string', default: '2' },
    threads: { type: 'string', default: String(availableParallelism()) },
  },
});

const addon = getAddon();
const arch = resolveArch(values.arch, Number(values.width), {});
using data = await openData('builtin:shapes?split=test');
const [images, points, threads] = [Number(values.images), Number(values.points), Number(values.threads)];
/** Multiply-adds of one image, of ResNet-18 at 32×32; in proportion to the square of the width. */
const MULTIPLY_ADDS = 0.5556e9 * (arch.width / 64) ** 2;

async function measure(frozen: boolean, together: boolean, batchSize: number): Promise<number> {
  const coefficients = Array.from({ length: points }, (_, i) => [1, i / points - 0.5, 0.25]);
  const options = {
    arch: archOptions(arch, data.classes.length),
    checkpoints: [values.checkpoint],
    directions: 2,
    directionsOutput: '',
    seed: 0,
    sets: [{ data: data.handle, images, labels: 'own' as const }],
    transform: arch.transform,
    labelsAt: [1, 0, 0],
    statistics: null,
    batchSize,
    precision: 'float32' as const,
    memory: 2 ** 32,
    frozen,
    threads,
    workers: 2,
  };
  let seconds = 0;
  // All threads at one network: one point at a time.
  const parts = together ? coefficients.map((row) => [row]) : [coefficients];
  for (const part of parts) {
    const result = await addon.surface({ ...options, coefficients: part.flat() }, () => {}).done;
    seconds += result.seconds;
  }
  return (points * images) / seconds;
}

for (const batchSize of values.batches.split(',').map(Number)) {
  for (const [frozen, together] of [
    [true, false],
    [false, false],
    [true, true],
  ] as const) {
    const rates: number[] = [];
    for (let round = 0; round < Number(values.rounds); round++) rates.push(await measure(frozen, together, batchSize));
    const rate = Math.max(...rates);
    const what = `${frozen ? 'frozen' : 'plain'}, ${together ? 'all threads at one point' : 'a point a thread'}`;
    const flops = ((2 * MULTIPLY_ADDS * rate) / 1e9).toFixed(0);
    console.log(`batch ${batchSize}, ${what}: ${rate.toFixed(0)} images/s (${flops} GFLOP/s of plain convolutions)`);
  }
}
