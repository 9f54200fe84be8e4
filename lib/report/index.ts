import type { Evaluation, Results } from '../run/types.js';
import { ChartBook, type Picture } from './charts/book.js';
import { columnsOf } from './columns.js';
import { type Curves, curvesOf, NO_CURVES } from './curves.js';
import { type Html, html, trusted } from './html.js';
import { embeddableJson, loadRuntime, type Runtime } from './runtime.js';
import { accuracySection } from './sections/accuracy.js';
import { agreementSection } from './sections/agreement.js';
import { detectorSection } from './sections/detector.js';
import { type FigureGroup, figuresSection } from './sections/figures.js';
import { overviewSection } from './sections/overview.js';
import { settingsSection } from './sections/settings.js';
import { sizesSection } from './sections/sizes.js';
import { type ModeEpochs, trainingSection } from './sections/training.js';
import { STYLE } from './style.js';
import { largestEnsemble } from './summary.js';
import { describeResults } from './words.js';

export type { Picture } from './charts/book.js';
export { type Curves, curvesOf } from './curves.js';
export { latexTables } from './latex.js';
export { markdownReport } from './markdown.js';
export type { Figure, FigureGroup } from './sections/figures.js';
export type { EpochPoint, ModeEpochs } from './sections/training.js';
export { type EnsembleSummary, METRICS, type ResultSummary, summarizeRows } from './summary.js';
export { formatTables } from './tables.js';
export { describeResults } from './words.js';

export interface ReportInput {
  evaluation: Results | Evaluation;
  title: string;
  /** Resolved settings; nested objects and lists are shown as paths. */
  settings: Readonly<Record<string, unknown>>;
  /** Versions, machine, threads, commit: what the numbers depend on besides the settings. */
  environment: Readonly<Record<string, unknown>>;
  /** What says that files are the same: checkpoints, data, results. */
  hashes?: Readonly<Record<string, unknown>> | undefined;
  /** How each mode was trained, where that is known. */
  epochs?: readonly ModeEpochs[] | undefined;
  /** Where the evaluation has no scores; default: made of its scores. */
  curves?: Curves | undefined;
  /** Pictures of other commands. */
  figures?: readonly FigureGroup[] | undefined;
}

export interface Report {
  /** The page. */
  html: string;
  /** Its charts, each as an SVG file's text. */
  pictures: Picture[];
}

/**
 * One HTML file that needs nothing else and can reach nothing: its policy forbids every request, and only our own scripts run.
 * Charts are still pictures that follow the page's colours; where scripts run they answer to the pointer.
 *
 * @throws ModeEnsembleError E_IO where a file of the installation is missing
 */
export async function makeReport(input: ReportInput): Promise<Report> {
  const { evaluation, title, settings, environment, hashes = {}, epochs = [], figures = [] } = input;
  const curves = input.curves ?? ('scores' in evaluation ? curvesOf(evaluation) : NO_CURVES);
  const columns = columnsOf(evaluation, largestEnsemble(evaluation));
  const detectors = [...new Set(evaluation.rows.map(({ detector }) => detector))];
  const [runtime, book] = await Promise.all([loadRuntime(), ChartBook.open()]);
  const sections = [await overviewSection(evaluation, columns, book), accuracySection(evaluation, columns)];
  for (const name of detectors) sections.push(await detectorSection(evaluation, name, columns, curves, book));
  sections.push(
    await sizesSection(evaluation, columns, book),
    await agreementSection(evaluation, curves, book),
    await trainingSection(epochs, book),
    ...figures.map(figuresSection),
    settingsSection('settings', 'Settings', settings),
    settingsSection('environment', 'Environment', environment),
    settingsSection('hashes', 'Hashes', hashes),
  );
  const warnings = evaluation.warnings.map((warning) => html`<li>${warning}</li>`);
  const body = html`<header><h1>${title}</h1><button type="button" id="theme" hidden></button></header>
<p class="lead">${unbroken(describeResults(evaluation, curves.classes))}</p>
${warnings.length > 0 ? html`<ul class="warnings">${warnings}</ul>` : undefined}
${contents(sections)}
${sections}`;
  return { html: pageOf(title, body, runtime, embeddableJson(book.live)), pictures: book.pictures };
}

/** The page alone, see makeReport. */
export async function renderReport(input: ReportInput): Promise<string> {
  return (await makeReport(input)).html;
}

function pageOf(title: string, body: Html, { scripts, hashes }: Runtime, charts: string): string {
  const policy = `default-src 'none'; script-src ${hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'`;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${trusted(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${trusted(STYLE)}</style>
</head>
<body>
${body}
<script type="application/json" id="charts">${trusted(charts)}</script>
${scripts.map(
  ({ code, isModule }) => html`<script${isModule ? html` type="module"` : undefined}>${trusted(code)}</script>
`,
)}</body>
</html>
`.html;
}

/** A number and its percent sign stay on one line. */
function unbroken(text: string): string {
  return text.replace(/(\d) %/g, '$1\u00a0%');
}

/** Links to the sections that are there, read off their heads. */
function contents(sections: readonly Html[]): Html {
  const heads = sections.flatMap(({ html: text }) => [...text.matchAll(/<h2 id="([^"]*)">(.*?)<\/h2>/g)]);
  return html`<nav aria-label="Contents">${heads.map(([, id = '', head = '']) => html`<a href="#${trusted(id)}">${trusted(head)}</a> `)}</nav>`;
}
