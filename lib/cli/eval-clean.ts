import type { Command } from 'commander';
import { describeIntervals, GAIN_MEANING, points } from '../report/numbers.js';
import { accuracyTable, align } from '../report/tables.js';
import { type CleanResult, evaluateClean } from '../run/run-checkpoints.js';
import type { CommandContext } from './context.js';
import { addEvaluationOptions, checkpointSettings, type EvaluationFlags } from './evaluation.js';
import { addIntervalOptions } from './options.js';

export function addEvalClean(program: Command, context: CommandContext): void {
  const command = program
    .command('eval-clean')
    .summary('accuracy of modes and of ensembles')
    .description('Accuracy of each mode, their mean ± standard deviation and range, and of ensembles of them.');
  addIntervalOptions(addEvaluationOptions(command))
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble eval-clean --in builtin:shapes \\
      --checkpoint runs/builtin/modes/cifar-resnet18-w16/seed-1000/checkpoint.safetensors \\
      --checkpoint runs/builtin/modes/cifar-resnet18-w16/seed-1100/checkpoint.safetensors
  $ mode-ensemble eval-clean --in cifar10:data/cifar-10-batches-bin --checkpoint epoch150.safetensors --arch R18 --json
  $ mode-ensemble eval-clean --suite imagenet --data ~/data --checkpoint checkpoint.pth.tar --arch R50
  $ mode-ensemble eval-clean --in cifar10:data/cifar-10-batches-bin --checkpoint a.safetensors --checkpoint b.safetensors \\
      --checkpoint c.safetensors --ensemble-size 2 --ensemble a,b,c --intervals`,
    )
    .action((flags: EvaluationFlags) => evalClean(flags, context));
}

async function evalClean(flags: EvaluationFlags, context: CommandContext): Promise<void> {
  context.kept = flags.features;
  const result = await evaluateClean(checkpointSettings(flags), context.hooks);
  if (flags.json) context.printJson(result);
  else context.print(formatAccuracy(result));
}

/** A line a mode, their spread, a line an ensemble, and what each ensemble gains; percent. */
export function formatAccuracy({ in: name, arch, modes, ensembles, intervals }: CleanResult): string {
  const parts = [
    `${arch} on ${name}, ${modes[0]?.n ?? 0} images`,
    accuracyTable([...modes, ...ensembles]),
    ...(ensembles.length > 0 ? [gainTable(ensembles)] : []),
  ];
  const notes = [
    ...(ensembles.length > 0 ? [`${GAIN_MEANING}.`] : []),
    ...(intervals ? [`In brackets: ${describeIntervals(intervals)}.`] : []),
  ];
  return [...parts, ...(notes.length > 0 ? [notes.join('\n')] : [])].join('\n\n');
}

function gainTable(ensembles: CleanResult['ensembles']): string {
  const names = (['top1', 'top5'] as const).filter((name) => ensembles.some((row) => row[name] !== undefined));
  const head = names.flatMap((name) => [`${name.replace('top', 'top-')} over mean`, 'over best']);
  const rows = ensembles.map(({ members, over_mean, over_best }) => [
    members,
    ...names.flatMap((name) => [over_mean[name], over_best[name]].map((gain) => (gain ? points(gain) : '–'))),
  ]);
  return align([['Gain, points', ...head], ...rows]);
}
