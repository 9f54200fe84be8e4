import type { Command } from 'commander';
import { ConfigError } from '../config/errors.js';
import { joinMembers } from '../ensemble/index.js';
import { percent } from '../report/numbers.js';
import { type TuneResult, tuneMahalanobis } from '../run/tune.js';
import type { CommandContext } from './context.js';
import { addEvaluationOptions, checkpointSettings, type EvaluationFlags } from './evaluation.js';
import { splitList } from './options.js';
import { formatTable } from './table.js';

interface Flags extends EvaluationFlags {
  train?: string;
  magnitudes?: number[];
  step?: number;
  clamp?: string;
  save?: string;
}

export function addTune(program: Command, context: CommandContext): void {
  const tune = program.command('tune').summary('choose parameters of a detector');
  const command = tune
    .command('mahalanobis')
    .summary('the magnitude of its perturbation, and its regression')
    .description(
      'Chooses the magnitude of the Mahalanobis detector for each mode and for ensembles of them: fits its regression on ' +
        '500 test images and their adversarial copies for each magnitude, and takes the one with the lowest FPR95 on 500 others. ' +
        'eval-ood uses what was chosen for exactly its modes.',
    );
  addEvaluationOptions(command)
    .option('--train <spec>', 'training data (default: the train part of --in or --suite)')
    .option(
      '--magnitudes <list>',
      'steps to choose among, in normalised pixels; of equally good ones the first',
      numbers,
    )
    .option('--step <x>', "the adversarial copies' step (default: 0.05; imagenet 0.001)", (text) =>
      number(text, '--step'),
    )
    .option('--clamp <to>', 'to what they are cut: pixels, normalized, or none (default: normalized, as the paper)')
    .option('--save <file>', 'write what was chosen to a file for eval-ood --tuned, not to the feature store')
    .addHelpText(
      'after',
      `
Examples:
  $ M=runs/builtin/modes/cifar-resnet18-w16
  $ mode-ensemble tune mahalanobis --in builtin:shapes \\
      --checkpoint $M/seed-1000/checkpoint.safetensors --checkpoint $M/seed-1100/checkpoint.safetensors
  $ mode-ensemble tune mahalanobis --suite imagenet --data ~/data --arch R50 --checkpoint checkpoint.pth.tar --save tuned.json`,
    )
    .action((flags: Flags) => tuneCommand(flags, context));
}

async function tuneCommand(flags: Flags, context: CommandContext): Promise<void> {
  const { train, magnitudes, step, clamp, save } = flags;
  context.kept = flags.features;
  const settings = { ...checkpointSettings(flags), train, magnitudes, step, clamp, save };
  const result = await tuneMahalanobis(settings, context.hooks);
  if (flags.json) context.printJson(result);
  else context.print(formatTuning(result));
}

/** For each mode and ensemble a row a magnitude: FPR95 and AUROC in percent, and which was chosen. */
export function formatTuning({ in: name, arch, records, files }: TuneResult): string {
  const rows = records.flatMap(({ members, magnitudes, best }) =>
    magnitudes.map(({ magnitude, fpr95, auroc, c }, index) => [
      index === 0 ? joinMembers(members) : '',
      String(magnitude),
      percent(fpr95),
      percent(auroc),
      c.toPrecision(3),
      magnitude === best ? 'chosen' : '',
    ]),
  );
  const [fit, validation] = records[0]?.images ?? [0, 0];
  const title =
    `Mahalanobis magnitudes, ${arch} on ${name}: fitted on ${fit} test images and their adversarial copies, ` +
    `measured on ${validation} others, in percent`;
  const head = ['Members', 'magnitude', 'FPR95', 'AUROC', 'C', ''];
  return [title, '', formatTable(head, rows, [1, 2, 3, 4]), '', `Kept in ${files.join(', ')}`].join('\n');
}

function number(text: string, flag: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) {
    throw new ConfigError(`${flag}: expected a number, found "${text}"`);
  }
  return value;
}

function numbers(text: string): number[] {
  return splitList(text).map((item) => number(item, '--magnitudes'));
}
