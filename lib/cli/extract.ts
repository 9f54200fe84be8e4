import type { Command } from 'commander';
import { DETECTORS } from '../detectors/index.js';
import { parsePass } from '../features/index.js';
import { type ExtractedCheckpoints, extractCheckpoints } from '../run/run-extract.js';
import { parseShard, type Shard } from '../run/shards.js';
import type { CommandContext } from './context.js';
import { addEvaluationOptions, checkpointSettings, type EvaluationFlags } from './evaluation.js';
import { collect, collectList } from './options.js';
import { formatTable, size } from './table.js';

interface Flags extends EvaluationFlags {
  out?: string[];
  train?: string;
  detector?: string[];
  pass?: string[];
  to?: string;
  shard?: Shard;
}

export function addExtract(program: Command, context: CommandContext): void {
  const known = DETECTORS.map(({ name }) => name);
  const command = program
    .command('extract')
    .summary('what networks make of images, as safetensors files')
    .description(
      'Passes data sets through modes and keeps logits, features of the stages, labels and predictions in the feature ' +
        'store, from which eval-ood computes everything else. What is there is not made again.',
    );
  addEvaluationOptions(command)
    .option('--out <spec>', 'a further data set, [NAME=]READER:PATH[?split=test]; may be given many times', collect)
    .option('--train <spec>', 'training data, of which the plain pass is made (default: where a detector needs it)')
    .option('--detector <list>', `make what these detectors read: ${known.join(', ')}`, collectList)
    .option(
      '--pass <list>',
      'make these passes: plain, rank1, perturbed:temperature=T:magnitude=X (default: plain)',
      collectList,
    )
    .option(
      '--shard <i/n>',
      'one part of n of each set, for instance 1/4; whoever makes the last part brings all together',
      (text: string) => parseShard(text, '--shard'),
    )
    .option('--to <dir>', 'also give each file a name for people: <dir>/<data set>/<member>/<pass>.safetensors')
    .addHelpText(
      'after',
      `
Each file has logits [N, C], stage1, stage2, … [N, C_k] (averages over space) and, where no stage is what the last layer
reads, penultimate [N, D]; labels and predictions [N], int64. Its metadata say which tensor is the penultimate feature.
Passes other than the plain one have logits and labels. Rows are in data-set order.

Examples:
  $ M=runs/builtin/modes/cifar-resnet18-w16
  $ mode-ensemble extract --in builtin:shapes --out builtin:blends --checkpoint $M/seed-1000/checkpoint.safetensors
  $ mode-ensemble extract --suite imagenet --data ~/data --arch R50 --checkpoint checkpoint.pth.tar \\
      --detector msp,odin,knn --storage float16
  $ mode-ensemble extract --in C=cifar10:data/cifar-10-batches-bin --checkpoint a.safetensors --to features`,
    )
    .action((flags: Flags) => extract(flags, context));
}

async function extract(flags: Flags, context: CommandContext): Promise<void> {
  const { out, train, detector: detectors, to, shard } = flags;
  context.kept = flags.features;
  const passes = flags.pass?.map((text) => parsePass(text, '--pass'));
  const settings = { ...checkpointSettings(flags), out, train, detectors, passes, to, shard };
  const result = await extractCheckpoints(settings, context.hooks);
  if (flags.json) context.printJson(result);
  else context.print(formatExtracted(result));
}

/** A row a file, and what there is in all. */
export function formatExtracted({ files, features, shard }: ExtractedCheckpoints): string {
  if (shard && shard.waiting > 0) {
    const { made, reused, waiting } = shard;
    return `${made} parts made, ${reused} there; ${waiting} files wait for other parts. Feature store: ${features}`;
  }
  const rows = files.map(({ set, part, member, pass, rows: count, bytes, isNew, path, link }) => [
    part === 'train' ? `${set} (train)` : set,
    member,
    pass,
    String(count),
    size(bytes),
    isNew ? 'made' : 'there',
    link ?? path,
  ]);
  const table = formatTable(['set', 'member', 'pass', 'rows', 'size', '', 'path'], rows, [3, 4]);
  const made = files.filter(({ isNew }) => isNew).length;
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const of = `${files.length} file${files.length === 1 ? '' : 's'}, ${size(bytes)}`;
  return `${table}\n\n${of}: ${made} made, ${files.length - made} there. Feature store: ${features}`;
}
