/**
 * Pictures that other commands leave in a run folder, each kind in a folder of its own with an index:
 * `{"version": 1, "figures": [{"file": "landscape.svg", "title": "…", "caption": "…"}]}`. More may stand in the index.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ModeEnsembleError } from '../config/errors.js';
import { ioError } from '../config/files.js';
import type { Figure, FigureGroup } from '../report/index.js';
import { checkedJson, parseJson, readText } from './read-json.js';

/** The folder, which is also the name of its index, and what the report calls it. */
const KINDS = [
  { id: 'landscape', title: 'Loss landscape' },
  { id: 'connect', title: 'Mode connectivity' },
] as const;

const FIGURES_VERSION = 1;
/** All pictures of a kind together: the page is to stay below a few megabytes. */
const MOST_BYTES = 8 << 20;

const figure = z.object({
  /** A file of the folder itself. */
  file: z.string().regex(/^[^/\\\0]+\.svg$/, 'the name of an SVG file in the same folder'),
  title: z.string(),
  caption: z.string().default(''),
});
const index = z.object({ version: z.literal(FIGURES_VERSION), figures: z.array(figure) });

/**
 * Those of every kind that is there.
 *
 * @throws ModeEnsembleError E_DATA where an index is damaged or of another version, or pictures are too large; E_IO where a file that
 * it names cannot be read
 */
export async function readFigures(runFolder: string): Promise<FigureGroup[]> {
  const groups: FigureGroup[] = [];
  for (const { id, title } of KINDS) {
    const folder = join(runFolder, id);
    const path = join(folder, `${id}.json`);
    if (!existsSync(path)) continue;
    const { figures } = checkedJson(index, parseJson(await readText(path, 'expected an index'), path), path);
    groups.push({ id, title, figures: await readAll(folder, figures, path) });
  }
  return groups;
}

async function readAll(folder: string, entries: readonly z.output<typeof figure>[], path: string): Promise<Figure[]> {
  const figures: Figure[] = [];
  let bytes = 0;
  for (const { file, title, caption } of entries) {
    const svg = await readFile(join(folder, file)).catch((error: unknown) => {
      throw ioError(error, join(folder, file), 'read');
    });
    bytes += svg.length;
    if (bytes > MOST_BYTES) {
      const most = `at most ${MOST_BYTES >> 20} MiB`;
      throw new ModeEnsembleError('E_DATA', `${path}: expected pictures of ${most} together, found more at ${file}.`);
    }
    figures.push({ file, title, caption, svg });
  }
  return figures;
}
