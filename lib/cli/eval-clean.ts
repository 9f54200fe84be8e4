import type { Command } from 'commander';
import { meanAndStd, percent } from '../report/tables.js';
import { type CleanResult, evaluateClean } from '../run/run-checkpoints.js';
import type { CommandContext } from './context.js';
import { addEvaluationOptions, checkpointSettings, type EvaluationFlags } from './evaluation.js';

export function addEvalClean(program: Command, context: CommandContext): void {
  const command = program
    .command('eval-clean')
    .summary('accuracy of modes and of their ensemble')
    .description('Accuracy of each mode, mean ± standard deviation over modes, and of all of them as an ensemble.');
  addEvaluationOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble eval-clean --in builtin:shapes \\
      --checkpoint runs/builtin/modes/cifar-resnet18-w16/seed-1000/checkpoint.safetensors \\
      --checkpoint runs/builtin/modes/cifar-resnet18-w16/seed-1100/checkpoint.safetensors
  $ mode-ensemble eval-clean --in cifar10:data/cifar-10-batches-bin --checkpoint epoch150.safetensors --arch R18 --json
  $ mode-ensemble eval-clean --suite imagenet --data ~/data --checkpoint checkpoint.pth.tar --arch R50`,
    )
    .action((flags: EvaluationFlags) => evalClean(flags, context));
}

async function evalClean(flags: EvaluationFlags, context: CommandContext): Promise<void> {
  context.kept = flags.features;
  const result = await evaluateClean(checkpointSettings(flags), context.hooks);
  if (flags.json) context.printJson(result);
  else context.print(formatAccuracy(result));
}

/** A line a mode, then mean ± std and the ensemble; percent. */
export function formatAccuracy({ in: name, arch, modes, ensemble }: CleanResult): string {
  const rows = modes.map(({ members, top1 }): [string, string] => [members, percent(top1)]);
  if (ensemble) {
    rows.push(['mean ± std', meanAndStd(modes.map(({ top1 }) => top1))]);
    rows.push([`ensemble of ${modes.length}`, percent(ensemble.top1)]);
  }
  const width = Math.max(...rows.map(([title]) => title.length));
  const title = `Top-1 accuracy in percent, ${arch} on ${name}, ${modes[0]?.n ?? 0} images`;
  return [title, '', ...rows.map(([row, value]) => `${row.padEnd(width)}  ${value}`)].join('\n');
}
