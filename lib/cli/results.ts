import { type Command, Option } from 'commander';
import { writeFileAtomic } from '../config/files.js';
import { MEASURE_NAMES, type MeasureName } from '../metrics/index.js';
import { type Choice, chooseMetrics, chooseResults } from '../report/choose.js';
import { compareResults, formatComparison } from '../report/compare.js';
import { latexTables } from '../report/latex.js';
import { markdownTables } from '../report/markdown.js';
import { formatTables, SHOWN_METRICS } from '../report/tables.js';
import { readResults } from '../run/read-results.js';
import { requireFolder } from '../run/read-run.js';
import { resultsCsv, resultsJson } from '../run/results.js';
import type { Results } from '../run/types.js';
import type { CommandContext } from './context.js';
import { collectList } from './options.js';

interface ChoiceFlags {
  detector?: string[];
  set?: string[];
}

interface Flags extends ChoiceFlags {
  metric?: string[];
  json?: true;
}

interface ExportFlags extends ChoiceFlags {
  format: string;
  output?: string;
}

/** What `results export` writes, by format. */
const FORMATS: Readonly<Record<string, (results: Results) => string>> = {
  csv: ({ rows }) => resultsCsv(rows),
  markdown: (results) => `${markdownTables(results)}\n`,
  latex: latexTables,
};

/** Flags that "results" has too are read there, wherever they stand: "compare" and "export" ask for those of both. */
export function addResults(program: Command, context: CommandContext): void {
  const results = addChoice(
    program
      .command('results')
      .summary("a finished run's tables; compare two runs; export")
      .description("Prints the tables of a finished run, as run does at its end, from the folder's results.json.")
      .argument('<run>', 'the folder of a run'),
  );
  addMetric(results)
    .option('--json', 'print the results as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble results runs/builtin --detector msp,knn --set blends --metric all
  $ mode-ensemble results compare runs/builtin runs/other
  $ mode-ensemble results export runs/builtin --format latex --output tables.tex`,
    )
    .action((folder: string, flags: Flags) => printResults(folder, flags, context));
  const compare = addChoice(
    results
      .command('compare')
      .summary('two runs side by side')
      .description('Sets run B against run A: the mean of their modes, and their largest ensembles.')
      .argument('<a>', 'the folder of a run')
      .argument('<b>', 'the folder of another run'),
  );
  addMetric(compare)
    .option('--json', 'print the comparison as JSON')
    .action((a: string, b: string, _: Flags, command: Command) =>
      printComparison(a, b, command.optsWithGlobals(), context),
    );
  addChoice(
    results
      .command('export')
      .summary('results as CSV, Markdown or LaTeX')
      .description("Writes a run's results: all rows as CSV, or tables in the paper's layout as Markdown or LaTeX.")
      .argument('<run>', 'the folder of a run'),
  )
    .addOption(new Option('--format <name>', 'what to write').choices(Object.keys(FORMATS)).makeOptionMandatory())
    .option('--output <file>', 'where to write it (default: stdout)')
    .action((folder: string, _: object, command: Command) => exportResults(folder, command.optsWithGlobals(), context));
}

function addChoice(command: Command): Command {
  return command
    .option('--detector <list>', 'these alone, for instance msp,knn', collectList)
    .option('--set <list>', 'these OoD sets alone', collectList);
}

function addMetric(command: Command): Command {
  const known = [...MEASURE_NAMES, 'all'].join(', ');
  return command.option('--metric <list>', `of ${known} (default: ${SHOWN_METRICS.join(',')})`, collectList);
}

async function read(folder: string, { detector, set }: ChoiceFlags): Promise<Results> {
  await requireFolder(folder);
  const { results } = await readResults(folder);
  const choice: Choice = { detectors: detector, sets: set };
  return chooseResults(results, choice);
}

function metricsOf({ metric }: Flags): readonly MeasureName[] {
  return metric === undefined ? SHOWN_METRICS : chooseMetrics(metric);
}

async function printResults(folder: string, flags: Flags, context: CommandContext): Promise<void> {
  const metrics = metricsOf(flags);
  const results = await read(folder, flags);
  context.print(flags.json ? resultsJson(results) : formatTables(results, metrics));
}

async function printComparison(a: string, b: string, flags: Flags, context: CommandContext): Promise<void> {
  const metrics = metricsOf(flags);
  const [first, second] = [await read(a, flags), await read(b, flags)];
  const comparison = compareResults(first, second, metrics);
  if (flags.json) context.printJson({ a, b, ...comparison });
  else context.print(formatComparison(comparison, first, [a, b]));
}

async function exportResults(
  folder: string,
  { format, output, ...choice }: ExportFlags,
  context: CommandContext,
): Promise<void> {
  const text = (FORMATS[format] as (results: Results) => string)(await read(folder, choice));
  if (output === undefined) return context.print(text);
  await writeFileAtomic(output, text);
  context.print(`Written: ${output}`);
}
