import type { Command } from 'commander';
import { ConfigError } from '../config/errors.js';
import type { SurfaceKind } from '../landscape/landscape.js';
import type { LandscapeResult } from '../landscape/surface-files.js';
import type { Precision } from '../native/contract.js';
import { landscapeOf, SURFACE_BATCH } from '../run/run-landscape.js';
import type { CommandContext } from './context.js';
import { addPassOptions } from './evaluation.js';
import { addLandscapeOptions, type LandscapeFlags, number, outputOf, sharedSettings } from './landscape-flags.js';
import { fieldOption } from './options.js';
import { duration } from './progress.js';
import { formatTable } from './table.js';

interface Flags extends LandscapeFlags {
  grid: number;
  range?: number;
  batchSize: number;
  precision: Precision;
  profile?: true;
  plane?: true;
  refresh?: true;
  saveDirections?: true;
  statistics: boolean;
}

/** Around the three modes of a plane, as a share of their extent. */
const PLANE_MARGIN = 0.2;

export function addLandscape(program: Command, context: CommandContext): void {
  const command = program
    .command('landscape')
    .summary('loss surfaces around modes')
    .description(
      'Mean cross-entropy around each mode along two random filter-normalised directions, on in-distribution test data and ' +
        'on OoD sets: numbers and contour figures. A grid that was stopped goes on where it was.',
    );
  addLandscapeOptions(command, 'landscape', { images: 1000, statisticsImages: 1000 })
    .addOption(fieldOption('--grid <n>', 'grid', 'points on each axis').default(51))
    .addOption(
      fieldOption(
        '--range <x>',
        'range',
        `from -x to x (default: 1; with --plane the margin around the modes: ${PLANE_MARGIN})`,
      ),
    )
    .option('--profile', 'along the first direction alone')
    .option('--plane', 'the plane through three modes')
    .option('--no-statistics', "with --plane: normalisation's statistics are summed as the weights, not estimated")
    .option('--refresh', 'write the figure as levels of points complete, coarse to fine')
    .option('--save-directions', 'also write the directions: directions-<mode>.safetensors')
    .addOption(fieldOption('--batch-size <n>', 'batchSize', 'images in a pass').default(SURFACE_BATCH))
    .addOption(fieldOption('--precision <name>', 'precision', 'float32 or bfloat16').default('float32'));
  addPassOptions(command)
    .addHelpText(
      'after',
      `
Files: <output>/landscape.svg, .csv, .safetensors (profile.*, plane.* with these flags) and landscape.json, which lists the
figures and what they were made of. Points are kept in <output>/points.

Examples:
  $ mode-ensemble landscape --run runs/builtin --out builtin:textures --grid 25
  $ mode-ensemble landscape --run runs/builtin --profile --refresh
  $ mode-ensemble landscape --run runs/builtin --plane --seeds 1000,1100,1200 --grid 21
  $ mode-ensemble landscape --in cifar10:data/cifar-10-batches-bin --out SVHN=svhn:data/svhn --images all \\
      --checkpoint save/CIFAR10/R18/seed-1000/epoch150.pth --checkpoint save/CIFAR10/R18/seed-1100/epoch150.pth`,
    )
    .action((flags: Flags) => landscape(flags, context));
}

async function landscape(flags: Flags, context: CommandContext): Promise<void> {
  const { grid, batchSize, precision, refresh, saveDirections, statistics } = flags;
  const kind = kindOf(flags);
  const range = flags.range ?? (kind === 'plane' ? PLANE_MARGIN : 1);
  context.kept = outputOf(flags, 'landscape');
  const began = Date.now();
  const shared = { ...sharedSettings(flags), kind, grid, range, batchSize, precision, refresh, saveDirections };
  const result = await landscapeOf({ ...shared, estimateStatistics: statistics }, context.hooks);
  if (flags.json) context.printJson(result);
  else context.print(`${formatSurfaces(result)}\nTime: ${duration((Date.now() - began) / 1000)}.`);
}

function kindOf({ profile, plane }: Flags): SurfaceKind {
  if (profile && plane) throw new ConfigError('--plane: expected either --plane or --profile, found both');
  return profile ? 'profile' : plane ? 'plane' : 'grid';
}

function formatSurfaces({ files, summary, gaps, points }: LandscapeResult): string {
  const head = ['mode', 'set', 'labels', 'at the mode', 'least', 'most'];
  const rows = summary.map(({ mode, set, labels, centre, least, most }) => [
    ...[mode, set, labels],
    ...[centre, least, most].map(number),
  ]);
  const missing = gaps > 0 ? `\n${gaps} losses are not finite: gaps in the figure, empty in the table.` : '';
  const kept = points.reused > 0 ? `, ${points.reused} were there` : '';
  return `${formatTable(head, rows, [3, 4, 5])}\n${missing}\nPoints: ${points.made} computed${kept}.\nFiles: ${files.join(', ')}`;
}
