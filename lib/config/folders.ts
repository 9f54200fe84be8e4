import { access, constants, mkdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { ModeEnsembleError } from './errors.js';
import { ioError } from './files.js';

/**
 * Makes a folder and those above it, from the top down, and makes sure that files can be made in it. (Node's recursive
 * mkdir hides the reason on a read-only file system and never ends where the system refuses with ENOENT, as in /proc.)
 *
 * @throws ModeEnsembleError E_IO that names the folder which cannot be made
 */
export async function makeWritableFolder(path: string): Promise<void> {
  const missing: string[] = [];
  for (let folder = path; !(await isFolder(folder)); folder = dirname(folder)) {
    missing.unshift(folder);
    if (resolve(dirname(folder)) === resolve(folder)) break;
  }
  for (const folder of missing) {
    await mkdir(folder).catch((error: NodeJS.ErrnoException) => {
      // Another process may have made it in the meantime.
      if (error.code !== 'EEXIST') throw ioError(error, folder, 'written');
    });
  }
  await access(path, constants.W_OK).catch((error) => {
    throw ioError(error, path, 'written');
  });
}

/** False where there is nothing; a file in the way is an error. */
async function isFolder(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw ioError(error, path, 'read');
  }
  throw new ModeEnsembleError('E_IO', `${path} is a file; expected a folder`);
}

/** The user's cache folder, by the rule of scripts/setup/private-copy.mjs, which runs before any of this is compiled. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env.MODE_ENSEMBLE_CACHE) return resolve(env.MODE_ENSEMBLE_CACHE);
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'), 'mode-ensemble');
}
