/** A file is first written under such a name (AtomicFile, writeFileAtomic), beside its final one. */
const TEMPORARY = /^(.+)\.tmp-\d+(?:-[0-9a-z]+)?$/;

/** A temporary file that nobody wrote to for so long was left by a process that was killed. */
export const LEFTOVER_MS = 24 * 60 * 60 * 1000;

/** The name that a temporary file is to have; undefined where the name is no temporary one. */
export function finalName(name: string): string | undefined {
  return TEMPORARY.exec(name)?.[1];
}
