/** Which files a step has left in the run folder, and what they were made of. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../config/files.js';
import { sha256 } from './curves-file.js';

interface StepFiles {
  key: string;
  /** Paths in the run folder → SHA-256. */
  files: Record<string, string>;
}

/** @param names paths in the run folder @throws ModeEnsembleError E_IO */
export async function writeRecord(path: string, key: string, run: string, names: readonly string[]): Promise<void> {
  const files: StepFiles['files'] = {};
  for (const name of names) files[name] = sha256(await readFile(join(run, name)));
  await writeFileAtomic(path, `${JSON.stringify({ key, files }, null, 2)}\n`);
}

/** Whether the files of this key are there as they were left. */
export async function isRecorded(path: string, key: string, run: string): Promise<boolean> {
  try {
    const record: StepFiles = JSON.parse(await readFile(path, 'utf8'));
    if (record.key !== key) return false;
    for (const [name, hash] of Object.entries(record.files)) {
      if (sha256(await readFile(join(run, name))) !== hash) return false;
    }
    return true;
  } catch {
    // Nothing there, or something else: it is made again.
    return false;
  }
}
