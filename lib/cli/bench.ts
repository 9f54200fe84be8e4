import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import { type BenchPrecision, measureSpeed, type NetworkSpeed, type SpeedReport } from '../bench/speed.js';
import { ConfigError } from '../config/errors.js';
import { suggestion } from '../config/suggest.js';
import { DETECTORS } from '../detectors/index.js';
import type { CommandContext } from './context.js';
import { detectorsOf } from './detector-flags.js';
import { passingFolder } from './made-up.js';
import { collectList, fieldOption } from './options.js';
import { formatTable } from './table.js';

/** The paper's networks. */
const NETWORKS = ['cifar-resnet18', 'wrn-28-10', 'resnet50', 'densenet121'];
const PRECISIONS: readonly BenchPrecision[] = ['float32', 'bfloat16'];
const SECONDS = 2;

interface Flags {
  arch?: string[];
  precision?: string[];
  detectors?: string[];
  batchSize?: number;
  threads?: number;
  workers: number;
  seconds: number;
  json?: true;
}

export function addBench(program: Command, context: CommandContext): void {
  const known = DETECTORS.map(({ name }) => name);
  program
    .command('bench')
    .summary('how fast this machine evaluates: networks, precisions, detectors')
    .description(
      'Measures on this machine what an evaluation is made of: the pass of images through each network, its share of what a ' +
        'matrix product reaches, its memory, and what each detector costs beyond that pass. Weights are drawn anew and images ' +
        'are noise; no file is read, and none is left.',
    )
    .option('--arch <list>', `networks (default: ${NETWORKS.join(',')})`, collectList)
    .option('--precision <list>', `float32, bfloat16 (default: both)`, collectList)
    .option(
      '--detectors <list>',
      `detectors, NAME[:PARAMETER=VALUE …]: ${known.join(', ')}, or none (default: all)`,
      collectList,
    )
    .addOption(
      fieldOption('--batch-size <n>', 'batchSize', 'images in a pass (default: 64; 32 for networks of large images)'),
    )
    .addOption(fieldOption('--threads <n>', 'threads', 'compute threads (default: all)'))
    .addOption(fieldOption('--workers <n>', 'workers', 'threads that prepare images').default(1))
    .option('--seconds <x>', 'of each measurement; a batch is the least', parseSeconds, SECONDS)
    .option('--json', 'print as JSON')
    .addHelpText(
      'after',
      `
A network is measured with as many classes as the data it was published for. The share is of the plain network's
multiply-adds; above 100 % where 3×3 convolutions take fewer multiplications than they stand for. What a detector costs is
its own passes and the scoring of what is stored, with metrics, as a multiple of the plain pass: 0.5 is half of it on top.
kNN searches 10000 made-up rows. Other programs on the same cores make all of this slower.

Examples:
  $ mode-ensemble bench
  $ mode-ensemble bench --arch R18,R18-w16 --precision float32 --detectors none
  $ mode-ensemble bench --arch R50 --detectors msp,odin,mahalanobis:magnitude=0.002,knn:k=1000 --json`,
    )
    .action((flags: Flags) => bench(flags, context));
}

async function bench(flags: Flags, context: CommandContext): Promise<void> {
  const { arch: archs = NETWORKS, detectors: detector, batchSize, workers, seconds } = flags;
  const { threads = availableParallelism() } = flags;
  if (archs.length === 0) throw new ConfigError('--arch: expected at least one network, found nothing');
  const precisions = precisionsOf(flags.precision ?? PRECISIONS);
  const names: Record<string, string> = { seconds: '--seconds', arch: '--arch', detectors: '--detectors' };
  using passing = passingFolder();
  const report = await measureSpeed(
    {
      ...{ archs, precisions, batchSize, threads, workers, seconds, folder: passing.path },
      detectors: detectorsWanted(detector),
      nameField: (field) => names[field] ?? field,
    },
    context.hooks,
  );
  if (flags.json) context.printJson(report);
  else context.print(formatSpeed(report));
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (text.trim() !== '' && Number.isFinite(seconds) && seconds > 0) return seconds;
  throw new ConfigError(`--seconds: expected a number above 0, found ${text}`);
}

function precisionsOf(names: readonly string[]): BenchPrecision[] {
  if (names.length === 0) throw new ConfigError('--precision: expected at least one precision, found nothing');
  for (const name of names) {
    if (PRECISIONS.some((known) => known === name)) continue;
    throw new ConfigError(`--precision: unknown precision "${name}"; ${suggestion(name, PRECISIONS)}`);
  }
  return PRECISIONS.filter((known) => names.includes(known));
}

function detectorsWanted(detector: string[] | undefined): NonNullable<ReturnType<typeof detectorsOf>> {
  if (detector?.length === 1 && detector[0] === 'none') return [];
  try {
    return detectorsOf({ detector: detector ?? DETECTORS.map(({ name }) => name) }) ?? [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(error.message.replace(/^--detector:/, '--detectors:'), { cause: error });
  }
}

/** Tables for people. */
export function formatSpeed(report: SpeedReport): string {
  const { cpu, threads, instructionSet, libtorch, node, version, gemm, networks, peakBytes } = report;
  const peaks = Object.entries(gemm.gflops).map(([precision, gflops]) => `${precision} ${gflops.toFixed(0)} GFLOP/s`);
  const parts = [
    `${cpu}, ${threads} ${threads === 1 ? 'thread' : 'threads'}, ${instructionSet}; mode-ensemble ${version}, LibTorch ${libtorch}, Node ${node}`,
    `GEMM peak (${gemm.size}³): ${peaks.join(', ')}`,
    '',
    networkTable(networks),
  ];
  if (networks.some(({ detectors }) => detectors.length > 0)) {
    parts.push('', 'Cost of a detector beyond the plain pass, as a multiple of it:', detectorTable(networks));
  }
  const ofProcess = networks.some(({ peak }) => peak.of === 'process');
  if (ofProcess) parts.push('', 'The peak is that of the process up to then: this system cannot tell it of a pass.');
  parts.push('', `Peak memory of the whole process: ${megabytes(peakBytes)} MB`);
  return parts.join('\n');
}

function networkTable(networks: readonly NetworkSpeed[]): string {
  const head = ['network', 'precision', 'image', 'batch', 'images/s', 'GMAC/image', 'of GEMM peak', 'peak, MB'];
  const rows = networks.map(({ arch, precision, size, batchSize, speed, multiplyAdds, gemmShare, peak }) => [
    arch,
    precision,
    String(size),
    String(batchSize),
    digits(speed.median),
    digits(multiplyAdds / 1e9),
    `${(gemmShare * 100).toFixed(0)} %`,
    megabytes(peak.bytes),
  ]);
  return formatTable(head, rows, [2, 3, 4, 5, 6, 7]);
}

function detectorTable(networks: readonly NetworkSpeed[]): string {
  const names = networks[0]?.detectors.map(({ detector }) => detector) ?? [];
  const rows = networks.map(({ arch, precision, detectors }) => [
    arch,
    precision,
    ...detectors.map(({ multiple }) => digits(multiple)),
  ]);
  return formatTable(
    ['network', 'precision', ...names],
    rows,
    names.map((_, index) => index + 2),
  );
}

/** Three of them: `1234`, `12.3`, `0.0123`. */
function digits(value: number): string {
  if (!(Math.abs(value) > 0)) return '0';
  const places = Math.max(0, Math.min(4, 2 - Math.floor(Math.log10(Math.abs(value)))));
  return value.toFixed(places);
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}
