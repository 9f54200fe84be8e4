/** What a job of a cluster runs; not for people. */
import type { Command } from 'commander';
import { ModeEnsembleError } from '../config/errors.js';
import { launchOf } from '../ranks/launch.js';
import { runTask } from '../run/run-task.js';
import type { CommandContext } from './context.js';

export function addStep(program: Command, context: CommandContext): void {
  program
    .command('step', { hidden: true })
    .description('Does one step of a run, as a job of a cluster; "run --executor slurm" hands it in.')
    .argument('<file>', 'a file of steps')
    .argument('<index>', 'which of them')
    .action(async (file: string, index: string) => {
      const launch = launchOf();
      if (launch && launch.options.rank > 0) context.beSilent(launch.options.rank);
      const { step, event, code, message } = await runTask(file, Number(index), context.hooks);
      if (event === 'stopped') throw new ModeEnsembleError('E_ABORTED', 'The job was stopped.');
      context.print(`${step}: ${event}${message === undefined ? '' : `: ${message}`}`);
      if (event !== 'done' && event !== 'found') process.exitCode = code === 'E_CONFIG' ? 2 : 1;
    });
}
