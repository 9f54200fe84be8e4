import { availableParallelism, cpus } from 'node:os';
import type { Command } from 'commander';
import { ModeEnsembleError } from '../config/errors.js';
import { VERSION } from '../config/version.js';
import { addonPath, getAddon, readAddonRecord } from '../native/load.js';
import type { CommandContext } from './context.js';

export function addDoctor(program: Command, context: CommandContext): void {
  program
    .command('doctor')
    .summary('versions, LibTorch, devices, threads, instruction set')
    .description(
      'Tells what this installation consists of and what it can use; exits 1 where the addon cannot be loaded.',
    )
    .option('--json', "print as JSON, with LibTorch's build settings")
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble doctor
  $ mode-ensemble doctor --json`,
    )
    .action((flags: { json?: true }) => doctor(flags, context));
}

/** Works without the addon too, and then says why it is missing. */
function doctor(flags: { json?: true }, context: CommandContext): void {
  const about = {
    'mode-ensemble': VERSION,
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
    cpu: cpus()[0]?.model ?? 'unknown',
    threads: availableParallelism(),
    addonPath: addonPath(),
  };
  let addon: ReturnType<typeof describeAddon>;
  try {
    addon = describeAddon();
  } catch (error) {
    if (!(error instanceof ModeEnsembleError)) throw error;
    const fault = { code: error.code, message: error.message };
    if (flags.json) context.printJson({ ...about, error: fault });
    else context.print(`${table(about)}\n\nThe addon cannot be loaded.\n${error.message}`);
    process.exitCode = 1;
    return;
  }
  if (flags.json) {
    context.printJson({ ...about, ...addon });
    return;
  }
  // LibTorch's own build settings are a page of compiler flags: for --json.
  const { architectures, config: _, ...lines } = addon;
  context.print(table({ ...about, ...lines, architectures: architectures.map(({ name }) => name) }));
}

function describeAddon() {
  const addon = getAddon();
  return { ...addon.info(), libtorchPath: readAddonRecord()?.libtorch.path, architectures: addon.architectures() };
}

const TITLES: Record<string, string> = {
  node: 'Node',
  platform: 'platform',
  cpu: 'CPU',
  addonPath: 'addon',
  version: 'addon version',
  libtorch: 'LibTorch',
  libtorchPath: 'LibTorch in',
  cpuCapability: 'instruction set',
  cuda: 'CUDA',
  builtinSets: 'built-in sets',
};

function table(values: Record<string, unknown>): string {
  const rows = Object.entries(values).map(([key, value]) => [TITLES[key] ?? key, text(value)] as const);
  const width = Math.max(...rows.map(([title]) => title.length));
  return rows.map(([title, value]) => `${title.padEnd(width)}  ${value}`).join('\n');
}

function text(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(', ');
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return String(value);
}
