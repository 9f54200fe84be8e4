/**
 * Loads the addon: the only place that does. Before it is loaded, the record that set-up wrote beside it is compared with
 * what is here now, since an addon that meets another LibTorch than it was built with crashes instead of failing.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ModeEnsembleError } from '../config/errors.js';
import type { Addon } from './contract.js';

/** What scripts/setup.mjs writes beside the addon. */
export interface AddonRecord {
  libtorch: { path: string; version: string; cuda: string | null };
  /** Node-API version the addon was built for. */
  napi: number;
  platform: string;
  arch: string;
  node: string;
  compiler: string;
  /** SHA-256 over everything the addon was built from. */
  inputs: string;
}

const require = createRequire(import.meta.url);
/** From dist/lib/native, and from nowhere else: what runs is always the compiled form. */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

let loaded: Addon | undefined;

/** The addon. The first call in a thread loads it; one that fails says what to run, and the next call tries again. */
export function getAddon(): Addon {
  loaded ??= loadAddon(ROOT);
  return loaded;
}

/** Where the addon is, or would be after set-up. */
export function addonPath(root: string = ROOT): string {
  return path.join(root, 'build-native', 'Release', 'mode_ensemble.node');
}

/** The record beside the addon, or null where there is none. */
export function readAddonRecord(root: string = ROOT): AddonRecord | null {
  try {
    return JSON.parse(readFileSync(addonPath(root).replace(/\.node$/, '.json'), 'utf8')) as AddonRecord;
  } catch {
    return null;
  }
}

/** Loads the addon of the package in `root`, or throws one E_ADDON that says what was tried, why it failed and what to run. */
export function loadAddon(root: string): Addon {
  const file = addonPath(root);
  const fail = (why: string, options?: ErrorOptions): never => {
    throw new ModeEnsembleError(
      'E_ADDON',
      `The native addon cannot be loaded: tried ${file}; ${why}. Run \`${setupCommand(root)}\`.`,
      options,
    );
  };
  if (!existsSync(file)) return fail('it has not been built');
  const record = readAddonRecord(root);
  if (record === null) return fail('its build was not finished (there is no record beside it)');
  const mismatch = findMismatch(record);
  if (mismatch !== null) return fail(mismatch);
  try {
    return require(file) as Addon;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return fail(`the system says: ${(message.split('\n')[0] ?? '').replace(/\.$/, '')}`, { cause: error });
  }
}

/** Why an addon of this record would not work here, or null. */
export function findMismatch(record: AddonRecord): string | null {
  const { libtorch, platform, arch, napi } = record;
  if (platform !== process.platform || arch !== process.arch) {
    return `it was built for ${platform} ${arch}, and this is ${process.platform} ${process.arch}`;
  }
  const offered = Number(process.versions.napi ?? 0);
  if (offered < napi) {
    return `it needs Node-API ${napi}, and this Node (${process.versions.node}) has ${offered}`;
  }
  const version = libtorchVersion(libtorch.path);
  if (version === null)
    return `LibTorch ${libtorch.version}, which it was built with, is no longer in ${libtorch.path}`;
  if (version !== libtorch.version) {
    return `it was built with LibTorch ${libtorch.version}, and ${libtorch.path} now holds ${version}`;
  }
  return null;
}

/** Version of the LibTorch in a folder, from the files scripts/setup/libtorch.mjs reads, or null where there is none. */
export function libtorchVersion(folder: string): string | null {
  const text = (name: string): string => {
    try {
      return readFileSync(path.join(folder, name), 'utf8');
    } catch {
      return '';
    }
  };
  const python = /^__version__\s*(?::[^=]*)?=\s*['"]([^'"]+)['"]/m.exec(text('version.py'));
  if (python?.[1] !== undefined) return python[1];
  const zip = text('build-version').trim();
  if (zip !== '') return zip;
  for (const header of ['include/torch/headeronly/version.h', 'include/torch/csrc/api/include/torch/version.h']) {
    const match = /#define TORCH_VERSION\s*\\?\s*"([^"]+)"/.exec(text(header));
    if (match?.[1] !== undefined) return match[1];
  }
  return null;
}

/** In a checkout npm's script; for a package under node_modules the file itself, as npm runs no install scripts for it. */
function setupCommand(root: string): string {
  const parent = path.basename(path.dirname(path.resolve(root)));
  return parent === 'node_modules' ? 'node node_modules/mode-ensemble/scripts/setup.mjs' : 'npm run setup';
}
