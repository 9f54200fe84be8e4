import type { Command } from 'commander';
import { archOptions, resolveArch } from '../modes/arch.js';
import type { ArchitectureInfo } from '../native/contract.js';
import { getAddon } from '../native/load.js';
import type { CommandContext } from './context.js';
import { fieldOption } from './options.js';
import { formatTable } from './table.js';

interface Flags {
  classes?: number;
  json?: true;
}

export function addModels(program: Command, context: CommandContext): void {
  program
    .command('models')
    .summary('the architectures: parameters, input size, stages, aliases')
    .description(
      'Lists the architectures that can be trained, evaluated and converted. Names are taken in any case. A narrower or ' +
        'wider network of a family is NAME-wN, N being the channels of its first stage; Wide ResNets of any depth 6n + 4 and ' +
        'factor k are wrn-DEPTH-K.',
    )
    .argument('[name...]', 'only these (default: all that are listed)')
    .addOption(fieldOption('--classes <n>', 'classes', 'classes (default: those of the data it was published for)'))
    .option('--json', 'print as JSON, with the preprocessing')
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble models
  $ mode-ensemble models wrn-40-4 R18-w16 --classes 100 --json`,
    )
    .action((names: string[], flags: Flags) => models(names, flags, context));
}

function models(names: readonly string[], flags: Flags, context: CommandContext): void {
  const addon = getAddon();
  const wanted = names.length > 0 ? names : addon.architectures().map(({ name }) => name);
  const rows = wanted.map((name) => {
    const arch = resolveArch(name, undefined, { where: 'models' });
    const info = addon.findArchitecture(arch.name) as ArchitectureInfo;
    const classes = flags.classes ?? info.classes;
    const scale = arch.width / info.width;
    return {
      ...info,
      name: arch.id,
      width: arch.width,
      classes,
      stages: info.stages.map((channels) => channels * scale),
      ...addon.measureArchitecture(archOptions(arch, classes)),
    };
  });
  if (flags.json) context.printJson(rows);
  else context.print(table(rows));
}

type Row = ArchitectureInfo & { parameters: number };

function table(rows: readonly Row[]): string {
  const cells = rows.map(({ name, aliases, parameters, classes, transform, stages }) => [
    name,
    `${(parameters / 1e6).toFixed(parameters < 1e7 ? 2 : 1)} M`,
    String(classes),
    String(transform.crop),
    stages.join(' '),
    aliases.join(', '),
  ]);
  const head = ['architecture', 'parameters', 'classes', 'input', 'channels of the stages', 'aliases'];
  return formatTable(head, cells, [1, 2, 3]);
}
