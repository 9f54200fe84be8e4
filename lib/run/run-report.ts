import { readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../config/files.js';
import { makeWritableFolder } from '../config/folders.js';
import { latexTables, makeReport, markdownReport, type Picture } from '../report/index.js';
import { runFolderAt } from './folder.js';
import { parseJson } from './read-json.js';
import { archsOf } from './read-results.js';
import { readRun, type StoredRun } from './read-run.js';
import { fileName } from './results.js';

/** Where the parts of a report lie. */
export interface ReportFiles {
  html: string;
  markdown: string;
  latex: string;
  /** The charts, one SVG file each. */
  figures: string[];
}

/**
 * Makes the report of a finished run from what its folder holds: report.html, report.md, report.tex, and each chart in
 * figures/. Data, features and the addon are not needed, and results are not computed again.
 *
 * @throws ModeEnsembleError E_IO, E_DATA, one sentence where the folder is no finished run of this version
 * @example
 * const { html } = await reportRun('runs/builtin');
 */
export async function reportRun(folder: string): Promise<ReportFiles> {
  const run = await readRun(folder);
  const title = run.record.experiment.name;
  const { html, pictures } = await makeReport({
    evaluation: run.results,
    curves: run.curves,
    title,
    settings: run.record.experiment,
    environment: { ...run.record.versions, ...run.record.machine },
    hashes: hashesOf(run),
    epochs: run.epochs,
    figures: run.figures,
  });
  const files = pagesIn(folder);
  const figures = await writePictures(join(folder, 'figures'), pictures);
  await writeFileAtomic(files.latex, latexTables(run.results));
  await writeFileAtomic(files.markdown, markdownReport(run.results, title));
  await writeFileAtomic(files.html, html);
  return { ...files, figures };
}

/**
 * As reportRun, and of a run of several architectures the report of each.
 *
 * @throws ModeEnsembleError E_IO, E_DATA
 */
export async function reportRuns(folder: string): Promise<ReportFiles[]> {
  const path = join(folder, 'results.json');
  // What is wrong with it, reportRun says.
  const text = await readFile(path, 'utf8').catch(() => 'null');
  const archs = /"archs"/.test(text) ? archsOf(parseJson(text, path)) : [];
  if (archs.length === 0) return [await reportRun(folder)];
  const { arch } = runFolderAt(folder);
  const files: ReportFiles[] = [];
  for (const id of archs.filter((one) => fileName(one) === one)) files.push(await reportRun(arch(id)));
  return files;
}

/** The parts of a report that is there. */
export async function reportFiles(folder: string): Promise<ReportFiles> {
  const figures = join(folder, 'figures');
  return { ...pagesIn(folder), figures: (await readIndex(join(figures, INDEX))).map((file) => join(figures, file)) };
}

function pagesIn(folder: string): Omit<ReportFiles, 'figures'> {
  return {
    html: join(folder, 'report.html'),
    markdown: join(folder, 'report.md'),
    latex: join(folder, 'report.tex'),
  };
}

/** What says that two runs had the same weights, images and results. */
function hashesOf({ record, sha256 }: StoredRun): Record<string, unknown> {
  const { in: inData, out } = record.data;
  const checkpoints = Object.fromEntries(record.modes.map(({ seed, sha256: hash }) => [`mode ${seed}`, hash]));
  return { 'results.json': sha256, checkpoints, data: { in: inData, out } };
}

/** Lists the charts: file, title; the form in which other commands list their pictures too (read-figures.ts). */
const INDEX = 'figures.json';

/** Puts the charts of this report in the place of those of an earlier one, and touches no other file. */
async function writePictures(folder: string, pictures: readonly Picture[]): Promise<string[]> {
  await makeWritableFolder(folder);
  const entries = pictures.map(({ name, label, svg }) => ({ file: `${fileName(name)}.svg`, title: label, svg }));
  const before = await readIndex(join(folder, INDEX));
  for (const { file, svg } of entries) await writeFileAtomic(join(folder, file), `${svg}\n`);
  const figures = entries.map(({ file, title }) => ({ file, title }));
  await writeFileAtomic(join(folder, INDEX), `${JSON.stringify({ version: 1, figures }, null, 2)}\n`);
  const names = new Set(entries.map(({ file }) => file));
  for (const file of before.filter((name) => !names.has(name))) await unlink(join(folder, file)).catch(() => {});
  return [...names].map((name) => join(folder, name));
}

/** The files of an earlier report; none where the index is not as we write it. */
async function readIndex(path: string): Promise<string[]> {
  try {
    const { figures } = JSON.parse(await readFile(path, 'utf8')) as { figures: { file: string }[] };
    return figures.map(({ file }) => file).filter((file) => fileName(file) === file && file.endsWith('.svg'));
  } catch {
    return [];
  }
}
