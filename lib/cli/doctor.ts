import { availableParallelism, cpus } from 'node:os';
import type { Command } from 'commander';
import { ModeEnsembleError } from '../config/errors.js';
import { RECIPES } from '../config/recipes.js';
import { VERSION } from '../config/version.js';
import { openData } from '../data/open.js';
import { resolveArch } from '../modes/arch.js';
import { augmentOptions } from '../modes/job-settings.js';
import type { DeviceCheck } from '../native/contract.js';
import { startJob } from '../native/job.js';
import { addonPath, getAddon, readAddonRecord } from '../native/load.js';
import type { CommandContext } from './context.js';

export function addDoctor(program: Command, context: CommandContext): void {
  program
    .command('doctor')
    .summary('versions, LibTorch, devices, threads, instruction set')
    .description(
      'Tells what this installation consists of and what it can use; exits 1 where the addon cannot be loaded.',
    )
    .option('--check-gpus', 'also compare what each GPU computes with what the CPU does')
    .option('--json', "print as JSON, with LibTorch's build settings")
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble doctor
  $ mode-ensemble doctor --check-gpus
  $ mode-ensemble doctor --json`,
    )
    .action((flags: Flags) => doctor(flags, context));
}

interface Flags {
  checkGpus?: true;
  json?: true;
}

/** Works without the addon too, and then says why it is missing. */
async function doctor(flags: Flags, context: CommandContext): Promise<void> {
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
  const checks = flags.checkGpus ? await checkGpus(addon.devices, context) : undefined;
  if (checks?.some(({ passed }) => !passed)) process.exitCode = 1;
  if (flags.json) {
    context.printJson({ ...about, ...addon, checks });
    return;
  }
  // LibTorch's own build settings are a page of compiler flags: for --json.
  const { architectures, config: _, ...lines } = addon;
  context.print(table({ ...about, ...lines, architectures: architectures.map(({ name }) => name) }));
  for (const { device, name, passed, found } of checks ?? []) {
    context.print(`${passed ? 'passed' : 'FAILED'}  ${device}  ${name}: ${found}`);
  }
}

/** @throws ModeEnsembleError E_DEVICE where there is none */
async function checkGpus(
  devices: readonly string[],
  { hooks }: CommandContext,
): Promise<(DeviceCheck & { device: string })[]> {
  const addon = getAddon();
  const gpus = devices.filter((device) => device.startsWith('cuda:'));
  if (gpus.length === 0) throw new ModeEnsembleError('E_DEVICE', '--check-gpus: expected a GPU, found none.');
  using set = await openData('builtin:shapes?split=test', hooks);
  const { transform } = resolveArch('cifar-resnet18');
  const augment = augmentOptions({ recipe: 'cifar10', ...RECIPES.cifar10 });
  const all: (DeviceCheck & { device: string })[] = [];
  for (const device of gpus) {
    const options = { device, data: set.handle, transform, augment, batchSize: 96, threads: 1, workers: 2 };
    const checks = await startJob((sink) => addon.checkDevice(options, sink), hooks).done;
    all.push(...checks.map((check) => ({ device, ...check })));
  }
  return all;
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
  cuda: 'CUDA build',
  gpus: 'GPUs',
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
