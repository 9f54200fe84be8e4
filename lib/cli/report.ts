import type { Command } from 'commander';
import { reportRuns } from '../run/run-report.js';
import type { CommandContext } from './context.js';

export function addReport(program: Command, context: CommandContext): void {
  program
    .command('report')
    .summary("make a finished run's report again")
    .description(
      'Makes the report of a finished run again from what its folder holds: report.html (one file, with charts that answer to ' +
        'the pointer; it opens from disk and loads nothing), report.md, report.tex (tables for LaTeX), and each chart as an SVG ' +
        'file in figures/. Neither data nor networks are needed. What "landscape" and "connect" have left in the folder is shown too.',
    )
    .argument('<run>', 'the folder of a run')
    .option('--png', 'write each picture as a PNG file too, also those of "landscape" and "connect"')
    .option('--json', 'print the paths as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble report runs/builtin`,
    )
    .action(async (folder: string, flags: { json?: true; png?: true }) => {
      const all = await reportRuns(folder, { png: flags.png });
      if (flags.json) context.printJson(all.length > 1 ? { archs: all } : all[0]);
      else for (const { html } of all) context.print(`Report: ${html}`);
    });
}
