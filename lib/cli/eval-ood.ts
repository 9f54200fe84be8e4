import type { Command } from 'commander';
import { writeFileAtomic } from '../config/files.js';
import { DETECTORS } from '../detectors/index.js';
import { FUSIONS, type FusionName } from '../ensemble/index.js';
import { formatTables } from '../report/tables.js';
import { resultsCsv, resultsJson, writeScores } from '../run/results.js';
import { evaluateOod } from '../run/run-checkpoints.js';
import type { CommandContext } from './context.js';
import { detectorsOf } from './detector-flags.js';
import { addEvaluationOptions, checkpointSettings, type EvaluationFlags } from './evaluation.js';
import {
  addMeasureOptions,
  collect,
  collectList,
  fieldOption,
  type MeasureFlags,
  searchMemoryOption,
} from './options.js';

interface Flags extends EvaluationFlags, MeasureFlags {
  out?: string[];
  train?: string;
  detector?: string[];
  k?: number;
  searchMemory?: number;
  fusion?: FusionName;
  tuned?: string;
  scores?: string;
  csv?: string;
}

export function addEvalOod(program: Command, context: CommandContext): void {
  const known = DETECTORS.map(({ name }) => name);
  const command = program
    .command('eval-ood')
    .summary('OoD detection of modes and of ensembles')
    .description('OoD detection of each mode and of ensembles of them, from one pass of each image through each mode.');
  addEvaluationOptions(command)
    .option('--out <spec>', 'OoD data, [NAME=]READER:PATH[?split=test]; may be given many times', collect)
    .option(
      '--train <spec>',
      'training data for detectors that learn from it (default: the train part of --in or --suite)',
    )
    .option(
      '--detector <list>',
      `detectors, NAME[:PARAMETER=VALUE …]: ${known.join(', ')} (default: all that can be used)`,
      collectList,
    )
    .addOption(fieldOption('--k <n>', 'k', 'as knn:k=N: neighbour of the knn detector'))
    .addOption(searchMemoryOption())
    .addOption(
      fieldOption(
        '--fusion <name>',
        'fusion',
        `how the members of ensembles meet: ${FUSIONS.join(', ')} (default: paper)`,
      ),
    )
    .option(
      '--tuned <file>',
      'parameters from tune mahalanobis --save (default: what the feature store has for the modes)',
    );
  addMeasureOptions(command)
    .option('--scores <dir>', 'also write all scores: <dir>/<detector>/<members>/<data set>.npy')
    .option('--csv <file>', 'also write the results as results.csv')
    .addHelpText(
      'after',
      `
A member is named by its seed, or by its file or folder where the checkpoints do not say different seeds. A suite is an
in-distribution set and the OoD sets it is set against; "mode-ensemble data ls" shows which of them are there. The
detectors' parameters and what they need are listed by "mode-ensemble detectors". Checkpoints may be of different
architectures: their ensembles are for detectors on logits, or for --fusion scores or standardised. Intervals draw the
same images for all modes and ensembles, so that what an ensemble gains over its modes has an interval too.

Examples:
  $ M=runs/builtin/modes/cifar-resnet18-w16
  $ mode-ensemble eval-ood --in builtin:shapes --out builtin:blends --out builtin:strokes --detector msp,energy \\
      --checkpoint $M/seed-1000/checkpoint.safetensors --checkpoint $M/seed-1100/checkpoint.safetensors
  $ mode-ensemble eval-ood --in cifar10:data/cifar-10-batches-bin --out Textures=folder:data/dtd/images \\
      --checkpoint a.safetensors --checkpoint b.safetensors --detector msp,odin:magnitude=0.002,knn:k=10,knn:k=50
  $ mode-ensemble eval-ood --in builtin:shapes --out builtin:blends --detector msp --convention openood --intervals \\
      --checkpoint $M/seed-1000/checkpoint.safetensors --checkpoint $M/seed-1100/checkpoint.safetensors
  $ mode-ensemble eval-ood --suite cifar10 --checkpoint resnet20.th --checkpoint densenet.pth.tar --fusion scores --json
  $ mode-ensemble eval-ood --suite cifar10 --data ~/data --checkpoint a.safetensors --checkpoint b.safetensors`,
    )
    .action((flags: Flags) => evalOod(flags, context));
}

async function evalOod(flags: Flags, context: CommandContext): Promise<void> {
  const { out, train, tuned, scores, csv, convention, fusion, searchMemory } = flags;
  context.kept = flags.features;
  const detectors = detectorsOf(flags);
  const settings = { ...checkpointSettings(flags), out, train, tuned, fusion, detectors, convention, searchMemory };
  const { evaluation, ...images } = await evaluateOod(settings, context.hooks);
  if (scores !== undefined) await writeScores(scores, evaluation);
  if (csv !== undefined) await writeFileAtomic(csv, resultsCsv(evaluation.rows));
  if (flags.json) context.print(resultsJson(evaluation, images));
  else context.print(formatTables(evaluation));
}
