import { randomBytes } from 'node:crypto';
import { constants, copyFile, type FileHandle, link, open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ModeEnsembleError } from './errors.js';

/** What the system's error codes mean to a person; each finishes the sentence "PATH cannot be written: …". */
const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission is denied',
  EDQUOT: 'the disk quota is used up',
  EEXIST: 'a file stands where a folder is needed',
  EFBIG: 'the file is too large for this file system',
  EIO: 'the disk reports an error',
  EISDIR: 'it is a folder',
  EMFILE: 'too many files are open',
  ENAMETOOLONG: 'the name is too long',
  ENOENT: 'there is no such file or folder',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EPERM: 'the system does not permit it',
  EROFS: 'the file system is read-only',
};

/** A failure of the file system as one sentence that names the path; errors of ours pass through unchanged. */
export function ioError(error: unknown, path: string, action: 'read' | 'written' | 'removed'): ModeEnsembleError {
  if (error instanceof ModeEnsembleError) return error;
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? '';
  const reason = REASONS[code] ?? (error instanceof Error ? error.message : String(error));
  return new ModeEnsembleError('E_IO', `${path} cannot be ${action}: ${reason}${code ? ` (${code})` : ''}.`, {
    cause: error,
  });
}

/** Temporary names are `<name>.tmp-<pid>-<random>`, in the folder of the file itself, so that a rename is atomic. */
export function temporaryName(path: string): string {
  return join(dirname(path), `${basename(path)}.tmp-${process.pid}-${randomBytes(4).toString('hex')}`);
}

/**
 * Writes a file whole or not at all: to a temporary name in the same folder, flushed to the disk, then renamed. What was
 * at `path` before stays until the new content is safe.
 *
 * @throws ModeEnsembleError E_IO, one sentence that names `path`
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  await writeAtomic(path, (handle) => handle.writeFile(data));
}

/** As writeFileAtomic, of what `write` puts into the file, one thing after the other. */
export async function writeAtomic(path: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  const temporary = temporaryName(path);
  try {
    const handle = await open(temporary, 'wx');
    try {
      await write(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw ioError(error, path, 'written');
  }
  await syncFolder(dirname(path));
}

/**
 * Gives a file a second name, whole or not at all; what was at `to` before is replaced. Where the file system has no hard
 * links, or the names lie in different ones, the file is copied.
 *
 * @throws ModeEnsembleError E_IO, one sentence that names `to`
 */
export async function linkFileAtomic(from: string, to: string): Promise<void> {
  const temporary = temporaryName(to);
  try {
    await link(from, temporary).catch(() => copyFile(from, temporary, constants.COPYFILE_EXCL));
    await rename(temporary, to);
    // Renaming one name of a file to another one of it does nothing.
    await unlink(temporary).catch(() => {});
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw ioError(error, to, 'written');
  }
  await syncFolder(dirname(to));
}

/** Makes the rename itself durable. Not every system lets a folder be opened, and the file is whole either way. */
async function syncFolder(path: string): Promise<void> {
  try {
    const handle = await open(path, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {
    // The data is on the disk under one of the two names.
  }
}
