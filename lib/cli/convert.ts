import { statSync } from 'node:fs';
import type { Command } from 'commander';
import { ConfigError } from '../config/errors.js';
import { resolveArch } from '../modes/arch.js';
import { convertCheckpoint } from '../modes/convert.js';
import { inspectCheckpoint } from '../modes/inspect.js';
import type { Inspection } from '../native/contract.js';
import type { CommandContext } from './context.js';
import { fieldOption } from './options.js';
import { size } from './table.js';

interface Flags {
  inspect?: true;
  arch?: string;
  width?: number;
  classes?: number;
  float32?: true;
  dictionary?: string;
  force?: true;
  json?: true;
}

export function addConvert(program: Command, context: CommandContext): void {
  program
    .command('convert')
    .summary('.pth ⇄ safetensors; look into a checkpoint')
    .description(
      'Turns a checkpoint of torch.save (zip or legacy, also of Python 2) into a safetensors file, or any of them into a ' +
        '.pth that torch.load(…, weights_only=True) opens. Code in a checkpoint is never run. Names lose "module." and "_orig_mod."; with ' +
        "--arch the weights must be that network's and take its names and order.",
    )
    .argument('<input>', 'checkpoint to read; what it is is told by its content')
    .argument('[output]', 'file to write: .safetensors, or .pth, .pt, .th, .tar, .bin')
    .option('--inspect', 'list what the input holds: format, weights, tensors, values, metadata')
    .option('--arch <name>', 'the network that the weights must be of')
    .addOption(fieldOption('--width <n>', 'width', 'channels of the first stage, with --arch'))
    .addOption(fieldOption('--classes <n>', 'classes', 'of the network, with --arch (default: as the weights have)'))
    .option('--float32', 'turn floating-point tensors of other widths into float32')
    .option('--dictionary <key>', 'entry that holds the weights (default: state_dict_ema, state_dict, model, net)')
    .option('--force', 'replace an output that is there')
    .option('--json', 'print as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble convert checkpoint.pth.tar --inspect
  $ mode-ensemble convert save/CIFAR10/R18/seed-1000/epoch150.pth mode-1000.safetensors --arch R18
  $ mode-ensemble convert runs/cifar10/modes/cifar-resnet18/seed-1000/checkpoint.safetensors mode-1000.pth`,
    )
    .action((input: string, output: string | undefined, flags: Flags) => convert(input, output, flags, context));
}

async function convert(
  input: string,
  output: string | undefined,
  flags: Flags,
  context: CommandContext,
): Promise<void> {
  const { float32, dictionary, force } = flags;
  const hooks = { signal: context.signal };
  if (flags.inspect) {
    if (output !== undefined) throw new ConfigError(`--inspect: expected no output with it, found ${output}`);
    const found = await inspectCheckpoint(input, { dictionary, identify: true }, hooks);
    if (flags.json) context.printJson({ file: input, ...found });
    else context.print(formatInspection(input, found));
    return;
  }
  if (output === undefined) throw new ConfigError('convert: expected an output, or --inspect, found neither');
  for (const flag of ['width', 'classes'] as const) {
    if (flags[flag] !== undefined && flags.arch === undefined) {
      throw new ConfigError(`--${flag}: expected --arch with it, found none`);
    }
  }
  const arch = flags.arch === undefined ? undefined : resolveArch(flags.arch, flags.width, { where: '--arch' });
  const settings = { input, output, arch, classes: flags.classes, float32, dictionary, force };
  const result = await convertCheckpoint(settings, hooks);
  if (flags.json) context.printJson({ input, output, ...result });
  else context.print(`${output}: ${result.tensors} tensors, ${size(result.bytes)}`);
}

function formatInspection(file: string, found: Inspection): string {
  const lines = [`${file}: ${found.format}, ${size(statSync(file).size)}`];
  if (found.problem === '') {
    const where = found.weightsIn === '' ? 'at the top level' : `in ${found.weightsIn}`;
    lines.push(`weights: ${found.weights} tensors ${where}; ${fits(found)}`);
  } else {
    lines.push(`weights: none (${found.problem})`);
  }
  const metadata = Object.entries(found.metadata);
  if (metadata.length > 0) lines.push('', 'metadata', ...metadata.map(([key, text]) => `  ${key} = ${short(text)}`));
  if (found.values.length > 0) lines.push('', 'values', ...found.values.map(([path, text]) => `  ${path} = ${text}`));
  const width = Math.max(0, ...found.tensors.map(({ name }) => name.length));
  const type = Math.max(0, ...found.tensors.map(({ dtype }) => dtype.length));
  lines.push('', 'tensors');
  for (const { name, dtype, shape } of found.tensors) {
    lines.push(`  ${name.padEnd(width)}  ${dtype.padEnd(type)}  [${shape.join(', ')}]`);
  }
  return lines.join('\n');
}

function fits({ fits }: Inspection): string {
  if (!fits) return 'no listed architecture fits them';
  return `they fit ${fits.name} of width ${fits.width} with ${fits.classes} classes`;
}

function short(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
