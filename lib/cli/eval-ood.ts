import type { Command } from 'commander';
import { ConfigError } from '../config/errors.js';
import { writeFileAtomic } from '../config/files.js';
import type { EvaluateSettings } from '../config/schema.js';
import { DETECTORS } from '../detectors/index.js';
import { formatTables } from '../report/tables.js';
import { resultsCsv, resultsJson, writeScores } from '../run/results.js';
import { evaluateOod } from '../run/run-checkpoints.js';
import type { CommandContext } from './context.js';
import { addEvaluationOptions, checkpointSettings, type EvaluationFlags } from './evaluation.js';
import { collect, collectList, fieldOption, splitList } from './options.js';

interface Flags extends EvaluationFlags {
  out?: string[];
  train?: string;
  detector?: string[];
  ensemble?: string[][];
  k?: number;
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
    .option('--detector <list>', `detectors: ${known.join(', ')} (default: all)`, collectList)
    .addOption(fieldOption('--k <n>', 'k', 'neighbour of the knn detector (default: 50)'))
    .option(
      '--ensemble <list>',
      'members of an ensemble, for instance 1000,1200; may be given many times (default: all together)',
      (text: string, before: string[][] = []) => [...before, splitList(text)],
    )
    .option(
      '--tuned <file>',
      'parameters from tune mahalanobis --save (default: what the feature store has for the modes)',
    )
    .option('--scores <dir>', 'also write all scores: <dir>/<detector>/<members>/<data set>.npy')
    .option('--csv <file>', 'also write the results as results.csv')
    .addHelpText(
      'after',
      `
A member is named by its seed, or by its file or folder where the checkpoints do not say different seeds. A suite is an
in-distribution set and the OoD sets it is set against; "mode-ensemble data ls" shows which of them are there.

Examples:
  $ M=runs/builtin/modes/cifar-resnet18-w16
  $ mode-ensemble eval-ood --in builtin:shapes --out builtin:blends --out builtin:strokes --detector msp,energy \\
      --checkpoint $M/seed-1000/checkpoint.safetensors --checkpoint $M/seed-1100/checkpoint.safetensors
  $ mode-ensemble eval-ood --in cifar10:data/cifar-10-batches-bin --out Textures=folder:data/dtd/images \\
      --checkpoint a.safetensors --checkpoint b.safetensors --k 20 --csv ood.csv --json
  $ mode-ensemble eval-ood --suite cifar10 --data ~/data --checkpoint a.safetensors --checkpoint b.safetensors`,
    )
    .action((flags: Flags) => evalOod(flags, context));
}

async function evalOod(flags: Flags, context: CommandContext): Promise<void> {
  const { out, train, tuned, scores, csv } = flags;
  const ensembles = flags.ensemble ?? ('all' as const);
  context.kept = flags.features;
  const settings = { ...checkpointSettings(flags), out, train, tuned, detectors: detectorsOf(flags), ensembles };
  const { evaluation, ...images } = await evaluateOod(settings, context.hooks);
  if (scores !== undefined) await writeScores(scores, evaluation);
  if (csv !== undefined) await writeFileAtomic(csv, resultsCsv(evaluation.rows));
  if (flags.json) context.print(resultsJson(evaluation, images));
  else context.print(formatTables(evaluation));
}

/** `--k` is the one parameter that has a flag of its own. */
function detectorsOf({ detector, k }: Flags): EvaluateSettings['detectors'] | undefined {
  if (detector === undefined && k === undefined) return undefined;
  const names = detector ?? DETECTORS.map(({ name }) => name);
  if (names.length === 0) throw new ConfigError('--detector: expected at least one detector, found nothing');
  if (k === undefined) return names;
  if (!names.some((name) => name.toLowerCase() === 'knn')) {
    throw new ConfigError('--k: expected the detector knn with it, found none');
  }
  return names.map((name) => (name.toLowerCase() === 'knn' ? { knn: { k } } : name));
}
