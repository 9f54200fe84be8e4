import { existsSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { ConfigError } from '../config/errors.js';
import type { Addon, ConvertOptions, ConvertResult } from '../native/contract.js';
import { type JobHooks, startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import { archOptions, type ModeArch } from './arch.js';
import { inspectCheckpoint } from './inspect.js';

export interface ConvertSettings {
  input: string;
  /** Its suffix says the format: `.safetensors`, or `.pth`, `.pt`, `.th`, `.tar` or `.bin` for torch.load. */
  output: string;
  /** Where it is given, the weights must be this network's; they take its names and order, and float32. */
  arch?: ModeArch | undefined;
  /** Of the network; default: as many as the weights have. */
  classes?: number | undefined;
  /** Floating-point tensors of other widths become float32. */
  float32?: boolean | undefined;
  /** The entry of a torch file that holds the weights; default: the first of the usual names. */
  dictionary?: string | undefined;
  /** Replace a file that is there. */
  force?: boolean | undefined;
  addon?: Addon | undefined;
}

const FORMAT_OF: Record<string, ConvertOptions['format']> = {
  '.safetensors': 'safetensors',
  '.pth': 'torch',
  '.pt': 'torch',
  '.th': 'torch',
  '.tar': 'torch',
  '.bin': 'torch',
};

/**
 * Turns a checkpoint of one format into one of the other. Metadata of ours is carried along, so that a mode comes back
 * byte for byte.
 *
 * @throws ModeEnsembleError E_CONFIG, E_CHECKPOINT, E_IO, E_ABORTED; the output is written whole or not at all
 */
export async function convertCheckpoint(settings: ConvertSettings, hooks: JobHooks = {}): Promise<ConvertResult> {
  const { input, output, arch, float32 = false, dictionary = '', force, addon = getAddon() } = settings;
  const format = FORMAT_OF[extname(output).toLowerCase()];
  if (format === undefined) {
    const expected = `expected a name that ends with ${Object.keys(FORMAT_OF).join(', ')}`;
    throw new ConfigError(`${output}: ${expected}, found "${extname(output)}"`);
  }
  if (resolve(input) === resolve(output)) {
    throw new ConfigError(`${output}: expected another file than the one that is read`);
  }
  if (!force && existsSync(output)) {
    throw new ConfigError(`${output}: is there already; --force replaces it`);
  }
  const inspection = await inspectCheckpoint(input, { dictionary, addon }, hooks);
  const { format: said, ...others } = inspection.metadata;
  // By `format: pt` other programs know that a safetensors file's tensors are PyTorch's; a torch file says it itself.
  const metadata =
    format === 'safetensors' ? { format: 'pt', ...inspection.metadata } : said === 'pt' ? others : inspection.metadata;
  const options: ConvertOptions = {
    input,
    output,
    format,
    arch: arch ? archOptions(arch, settings.classes ?? 0) : null,
    float32,
    dictionary,
    metadata,
  };
  return startJob((sink) => addon.convert(options, sink), hooks).done;
}
