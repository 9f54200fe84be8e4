import type { Command } from 'commander';
import type { TrainSettings } from '../config/schema.js';
import type { ConnectResult } from '../landscape/connect.js';
import type { CurveKind } from '../native/contract.js';
import { connectionOf } from '../run/run-landscape.js';
import type { CommandContext } from './context.js';
import { addPassOptions } from './evaluation.js';
import { addLandscapeOptions, type LandscapeFlags, number, outputOf, sharedSettings } from './landscape-flags.js';
import { addTrainOptions, fieldOption, givenTrainSettings } from './options.js';
import { duration } from './progress.js';
import { formatTable } from './table.js';

interface Flags extends LandscapeFlags, Partial<TrainSettings> {
  curve: CurveKind;
  points: number;
}

export function addConnect(program: Command, context: CommandContext): void {
  const command = program
    .command('connect')
    .summary('a curve of low loss between two modes')
    .description(
      'Trains a curve between the weights of two modes along which the loss stays low, and evaluates it and the straight ' +
        'line, with normalisation statistics estimated anew at each point. The curve is trained as the first mode was, where ' +
        "it says so, else by the paper's recipe for CIFAR-10. Training and points that were stopped go on where they were.",
    );
  addLandscapeOptions(command, 'connect', { images: 'all', statisticsImages: 'all' })
    .addOption(fieldOption('--curve <kind>', 'curve', 'bezier, or chain: two straight lines').default('bezier'))
    .addOption(fieldOption('--points <n>', 'points', 'at which each path is evaluated').default(61));
  addTrainOptions(command);
  addPassOptions(command)
    .addHelpText(
      'after',
      `
Files: <output>/connect.svg, .csv, .safetensors, bend.safetensors (the trained bend, a checkpoint) and connect.json.

Examples:
  $ mode-ensemble connect --run runs/builtin --seeds 1000,1100
  $ mode-ensemble connect --run runs/builtin --seeds 1000,1200 --curve chain --epochs 4 --output runs/chain`,
    )
    .action((flags: Flags) => connect(flags, context));
}

async function connect(flags: Flags, context: CommandContext): Promise<void> {
  const { curve, points } = flags;
  context.kept = outputOf(flags, 'connect');
  const began = Date.now();
  const training = givenTrainSettings(flags);
  const result = await connectionOf({ ...sharedSettings(flags), curve, points, training }, context.hooks);
  if (flags.json) context.printJson(result);
  else context.print(`${formatPaths(result)}\nTime: ${duration((Date.now() - began) / 1000)}.`);
}

function formatPaths({ summary, files, points }: ConnectResult): string {
  const head = ['path', 'set', 'highest loss', 'at t', 'barrier', 'lowest accuracy, %'];
  const rows = summary.map(({ path, set, highest, at, barrier, lowestAccuracy }) => [
    ...[path, set],
    ...[highest, at, barrier].map(number),
    Number.isNaN(lowestAccuracy) ? '–' : (100 * lowestAccuracy).toFixed(2),
  ]);
  const gaps = summary.reduce((sum, one) => sum + one.gaps, 0);
  const missing = gaps > 0 ? `\n${gaps} losses are not finite.` : '';
  const kept = points.reused > 0 ? `, ${points.reused} were there` : '';
  return `${formatTable(head, rows, [2, 3, 4, 5])}\n${missing}\nPoints: ${points.made} computed${kept}.\nFiles: ${files.join(', ')}`;
}
