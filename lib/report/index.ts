import type { Evaluation } from '../run/types.js';
import { html } from './html.js';
import {
  accuracySection,
  columnsOf,
  detectorSection,
  type ModeEpochs,
  settingsSection,
  sizesSection,
  trainingSection,
} from './sections.js';
import { STYLE } from './style.js';
import { largestEnsemble } from './summary.js';
import { describeResults } from './words.js';

export type { EpochPoint, ModeEpochs } from './sections.js';
export { type EnsembleSummary, METRICS, type ResultSummary, summarizeRows } from './summary.js';
export { formatTables } from './tables.js';
export { describeResults } from './words.js';

export interface ReportInput {
  evaluation: Evaluation;
  title: string;
  /** Resolved settings; nested objects and lists are shown as paths. */
  settings: Readonly<Record<string, unknown>>;
  /** Versions, machine, threads, commit: what the numbers depend on besides the settings. */
  environment: Readonly<Record<string, unknown>>;
  /** How each mode was trained, where that is known. */
  epochs?: readonly ModeEpochs[] | undefined;
}

/** One HTML file that needs nothing else: no scripts, no network. Charts are SVG that follows the page's colours. */
export async function renderReport(input: ReportInput): Promise<string> {
  const { evaluation, title, settings, environment, epochs = [] } = input;
  const columns = columnsOf(evaluation, largestEnsemble(evaluation));
  const detectors = [...new Set(evaluation.rows.map(({ detector }) => detector))];
  const sections = [];
  for (const name of detectors) sections.push(await detectorSection(evaluation, name, columns));
  const warnings = evaluation.warnings.map((warning) => html`<li>${warning}</li>`);
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${title}</title>
<style>${{ html: STYLE }}</style>
</head>
<body>
<h1>${title}</h1>
<p class="lead">${describeResults(evaluation)}</p>
${warnings.length > 0 ? html`<ul class="warnings">${warnings}</ul>` : undefined}
${accuracySection(evaluation, columns)}
${sections}
${sizesSection(evaluation, columns)}
${await trainingSection(epochs)}
${settingsSection('Settings', settings)}
${settingsSection('Environment', environment)}
</body>
</html>
`.html;
}
