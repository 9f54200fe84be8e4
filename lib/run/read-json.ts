/** JSON files of a run folder, read back and checked: whatever is wrong with one is one sentence. */
import { readFile } from 'node:fs/promises';
import type { z } from 'zod';
import { describe, fieldPath } from '../config/describe.js';
import { ModeEnsembleError } from '../config/errors.js';
import { ioError } from '../config/files.js';

/**
 * @param missing what to say where the file is not there, after its path
 * @throws ModeEnsembleError E_IO where it cannot be read
 */
export async function readText(path: string, missing: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new ModeEnsembleError('E_IO', `${path} is not there: ${missing}.`, { cause: error });
    }
    throw ioError(error, path, 'read');
  }
}

/** @throws ModeEnsembleError E_DATA with the path, where the text is no JSON */
export function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/\s+/g, ' ') : String(error);
    throw new ModeEnsembleError('E_DATA', `${path} is damaged: expected JSON, found another text (${reason}).`, {
      cause: error,
    });
  }
}

/** The format and the version that a file says it has, compared with what is expected. @throws ModeEnsembleError E_DATA */
export function requireVersion(value: unknown, path: string, format: string, version: number): void {
  const found = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  if (found.format === format && found.version === version) return;
  const what =
    found.format === undefined && found.version === undefined
      ? 'no version at all, as older versions of mode-ensemble wrote it'
      : `${String(found.format)} ${String(found.version)}`;
  throw new ModeEnsembleError(
    'E_DATA',
    `${path} is of another version: expected ${format} ${version}, found ${what}; run the experiment again, which uses what is finished.`,
  );
}

/** The value as the schema describes it. @throws ModeEnsembleError E_DATA naming file and field */
export function checkedJson<Schema extends z.ZodType>(schema: Schema, value: unknown, path: string): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const field = issue ? fieldPath(issue.path) : '';
  const found = issue?.path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown>)?.[key], value);
  const where = field === '' ? '' : `${field}: `;
  throw new ModeEnsembleError(
    'E_DATA',
    `${path} is damaged: ${where}expected ${expectedOf(issue)}, found ${describe(found)}.`,
  );
}

/** Zod's "Invalid input: expected number, received string" without its frame. */
function expectedOf(issue: z.core.$ZodIssue | undefined): string {
  return /expected ([^,]+)/.exec(issue?.message ?? '')?.[1] ?? issue?.message ?? 'another value';
}
