/** `landscape.json` and `connect.json`: what a folder of figures holds, for reports and for runs that come again. */
import { existsSync, readFileSync } from 'node:fs';
import type { Json } from '../config/canonical.js';
import { writeFileAtomic } from '../config/files.js';

export interface IndexedFigure {
  /** In the folder of the index. */
  file: string;
  title: string;
  caption: string;
}

/** What one kind of figure was made of. */
export interface IndexEntry {
  key: string;
  figures: IndexedFigure[];
  /** Settings, hashes, numbers of images. */
  about: Json;
}

export interface FigureIndex {
  version: 1;
  /** All figures of the folder. */
  figures: IndexedFigure[];
  /** By kind, for instance `landscape`, `profile`. */
  made: Record<string, IndexEntry>;
}

/** The index of a folder; an empty one where there is none that can be read. */
export function readIndex(file: string): FigureIndex {
  const empty: FigureIndex = { version: 1, figures: [], made: {} };
  if (!existsSync(file)) return empty;
  try {
    const found = JSON.parse(readFileSync(file, 'utf8')) as Partial<FigureIndex>;
    return found.version === 1 && typeof found.made === 'object' ? { ...empty, ...found } : empty;
  } catch {
    return empty;
  }
}

/** Puts an entry in the place of that kind's last one; other kinds stay. @throws ModeEnsembleError E_IO */
export async function writeIndex(file: string, kind: string, entry: IndexEntry): Promise<void> {
  const made = { ...readIndex(file).made, [kind]: entry };
  const figures = Object.keys(made)
    .sort()
    .flatMap((name) => made[name]?.figures ?? []);
  const index: FigureIndex = { version: 1, figures, made };
  await writeFileAtomic(file, `${JSON.stringify(index, null, 2)}\n`);
}
