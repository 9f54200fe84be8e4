import { readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../config/files.js';
import { makeWritableFolder } from '../config/folders.js';
import { type Figure, latexTables, makeReport, markdownReport, type Picture } from '../report/index.js';
import { pngOf } from './figure-pngs.js';
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
  /** The same and the landscapes as PNG, where they were asked for. */
  pngs?: string[];
}

export interface ReportSettings {
  /** Also each chart, and what "landscape" and "connect" have drawn, as PNG in figures/. */
  png?: boolean | undefined;
}

/**
 * Makes the report of a finished run from what its folder holds: report.html, report.md, report.tex, and each chart in
 * figures/. Data, features and the addon are not needed, and results are not computed again.
 *
 * @throws ModeEnsembleError E_IO, E_DATA, one sentence where the folder is no finished run of this version
 * @example
 * const { html } = await reportRun('runs/builtin');
 */
export async function reportRun(folder: string, { png = false }: ReportSettings = {}): Promise<ReportFiles> {
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
  const drawn = png ? run.figures.flatMap((group) => group.figures) : [];
  const { figures, pngs } = await writePictures(join(folder, 'figures'), pictures, png, drawn);
  await writeFileAtomic(files.latex, latexTables(run.results));
  await writeFileAtomic(files.markdown, markdownReport(run.results, title));
  await writeFileAtomic(files.html, html);
  return { ...files, figures, ...(png && { pngs }) };
}

/**
 * As reportRun, and of a run of several architectures the report of each.
 *
 * @throws ModeEnsembleError E_IO, E_DATA
 */
export async function reportRuns(folder: string, settings: ReportSettings = {}): Promise<ReportFiles[]> {
  const path = join(folder, 'results.json');
  // What is wrong with it, reportRun says.
  const text = await readFile(path, 'utf8').catch(() => 'null');
  const archs = /"archs"/.test(text) ? archsOf(parseJson(text, path)) : [];
  if (archs.length === 0) return [await reportRun(folder, settings)];
  const { arch } = runFolderAt(folder);
  const files: ReportFiles[] = [];
  for (const id of archs.filter((one) => fileName(one) === one)) files.push(await reportRun(arch(id), settings));
  return files;
}

/** The parts of a report that is there. */
export async function reportFiles(folder: string): Promise<ReportFiles> {
  const figures = join(folder, 'figures');
  const { svgs, pngs } = await readIndex(join(figures, INDEX));
  const at = (files: string[]) => files.map((file) => join(figures, file));
  return { ...pagesIn(folder), figures: at(svgs), ...(pngs.length > 0 && { pngs: at(pngs) }) };
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
async function writePictures(folder: string, charts: readonly Picture[], png: boolean, drawn: readonly Figure[]) {
  await makeWritableFolder(folder);
  const entries = charts.map(({ name, label, svg }) => ({
    file: `${fileName(name)}.svg`,
    title: label,
    svg: `${svg}\n`,
  }));
  const before = await readIndex(join(folder, INDEX));
  for (const { file, svg } of entries) await writeFileAtomic(join(folder, file), svg);
  const pngs: string[] = [];
  for (const { file, svg } of png ? [...entries, ...drawn] : []) {
    const name = file.replace(/\.svg$/, '.png');
    await writeFileAtomic(join(folder, name), await pngOf(svg, file));
    pngs.push(name);
  }
  const figures = entries.map(({ file, title }) => ({ file, title }));
  await writeFileAtomic(join(folder, INDEX), `${JSON.stringify({ version: 1, figures, pngs }, null, 2)}\n`);
  const names = new Set([...figures.map(({ file }) => file), ...pngs]);
  const gone = [...before.svgs, ...before.pngs].filter((name) => !names.has(name));
  for (const file of gone) await unlink(join(folder, file)).catch(() => {});
  const at = (files: readonly string[]) => files.map((file) => join(folder, file));
  return { figures: at(figures.map(({ file }) => file)), pngs: at(pngs) };
}

/** The files of an earlier report; none where the index is not as we write it. */
async function readIndex(path: string): Promise<{ svgs: string[]; pngs: string[] }> {
  try {
    const { figures, pngs = [] } = JSON.parse(await readFile(path, 'utf8'));
    const own = (files: string[], end: string) => files.filter((file) => fileName(file) === file && file.endsWith(end));
    const svgs = figures.map(({ file }: { file: string }) => file);
    return { svgs: own(svgs, '.svg'), pngs: own(pngs, '.png') };
  } catch {
    return { svgs: [], pngs: [] };
  }
}
