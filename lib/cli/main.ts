import { Command, CommanderError } from 'commander';
import { ERROR_CODES, type ErrorCode, hasCode } from '../config/errors.js';
import { VERSION } from '../config/version.js';
import { addBench } from './bench.js';
import { addConnect } from './connect.js';
import { CommandContext } from './context.js';
import { addConvert } from './convert.js';
import { addData } from './data.js';
import { addDetectors } from './detectors.js';
import { addDoctor } from './doctor.js';
import { addEvalClean } from './eval-clean.js';
import { addEvalOod } from './eval-ood.js';
import { addExtract } from './extract.js';
import { addFeatures } from './features.js';
import { addLandscape } from './landscape.js';
import { addModels } from './models.js';
import { addReport } from './report.js';
import { addResults } from './results.js';
import { addRun } from './run.js';
import { addStep } from './step.js';
import { addSweep } from './sweep.js';
import { addTrain } from './train.js';
import { addTune } from './tune.js';

/** One row a command, in the order of the help. */
const COMMANDS: readonly ((program: Command, context: CommandContext) => void)[] = [
  addDoctor,
  addModels,
  addDetectors,
  addData,
  addRun,
  addTrain,
  addSweep,
  addEvalClean,
  addEvalOod,
  addExtract,
  addFeatures,
  addTune,
  addLandscape,
  addConnect,
  addConvert,
  addReport,
  addResults,
  addStep,
  addBench,
];

const EXIT = { ok: 0, failed: 1, usage: 2 } as const;
/** What stops the work, and the exit code then: 128 and the signal's number, as shells have it. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * The command line. Results go to stdout; progress and errors, one sentence each, to stderr. Sets the exit code: 1 on a
 * failure, 2 where a flag, a field or the usage is at fault, 130 or 143 where SIGINT or SIGTERM stopped it.
 */
export async function main(argv: readonly string[] = process.argv): Promise<void> {
  const context = new CommandContext();
  const release = handleSignals(context);
  ignoreClosedPipe();
  try {
    await makeProgram(context).parseAsync(argv);
  } catch (error) {
    context.progress.clear();
    process.exitCode = report(error, context, argv.includes('--json'));
  } finally {
    context.progress.clear();
    release();
  }
}

export function makeProgram(context: CommandContext): Command {
  const program = new Command('mode-ensemble')
    .description(
      'Trains networks from several seeds (modes) and measures how well each of them, and every ensemble of them, ' +
        'tells out-of-distribution images from in-distribution ones.',
    )
    .version(VERSION, '-V, --version', 'print the version')
    .helpCommand('help [command]', 'print the help of a command')
    .exitOverride()
    // Errors are printed in one place, see report().
    .configureOutput({ outputError: () => {} })
    .showSuggestionAfterError()
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble doctor
  $ mode-ensemble run experiments/builtin.yaml
  $ mode-ensemble help eval-ood`,
    );
  for (const add of COMMANDS) add(program, context);
  return program;
}

/** Tells what went wrong; returns the exit code. */
function report(error: unknown, context: CommandContext, isJson: boolean): number {
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
  const { code, message } = explain(error, context);
  if (isJson) process.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`);
  process.stderr.write(`${context.name}: ${message}\n`);
  if (process.env.MODE_ENSEMBLE_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  if (code === 'E_ABORTED') return context.stoppedWith;
  return code === 'E_CONFIG' ? EXIT.usage : EXIT.failed;
}

function explain(error: unknown, context: CommandContext): { code: ErrorCode | 'E_INTERNAL'; message: string } {
  if (error instanceof CommanderError) return { code: 'E_CONFIG', message: usageMessage(error) };
  if (hasCode(error, 'E_ABORTED')) {
    const again = '; the same command goes on from there';
    const kept = context.kept === undefined ? '' : `; what was finished is kept in ${context.kept}${again}`;
    return { code: 'E_ABORTED', message: `stopped${kept}` };
  }
  const message = error instanceof Error ? error.message : String(error);
  const code = ERROR_CODES.find((known) => hasCode(error, known));
  if (code) return { code, message };
  return { code: 'E_INTERNAL', message: `${message} (a fault of the program; MODE_ENSEMBLE_DEBUG=1 shows where)` };
}

/** Commander's `error: unknown option '--epoch'\n(Did you mean --epochs?)` in one line. */
function usageMessage({ code, message }: CommanderError): string {
  if (code === 'commander.help') return 'a command is missing; mode-ensemble --help lists them';
  return message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
}

/** The first Ctrl-C (or SIGTERM) stops the work in order, the second ends the process at once. */
function handleSignals(context: CommandContext): () => void {
  const stop = (signal: NodeJS.Signals) => {
    // Ctrl-C on a terminal reaches all processes. Who started this one hears it too, and tells it by SIGTERM: twice would be
    // to stop at once.
    if (process.connected && signal === 'SIGINT') return;
    context.stoppedWith = SIGNALS[signal as keyof typeof SIGNALS];
    if (context.signal.aborted) process.exit(context.stoppedWith);
    // One of several ranks is told by who started it.
    if (!process.connected) context.progress.line('stopping; once more to stop at once');
    context.abort.abort();
  };
  const signals = Object.keys(SIGNALS) as (keyof typeof SIGNALS)[];
  for (const signal of signals) process.on(signal, stop);
  // Started as one of several ranks, or of a sweep: who started them is gone.
  process.once('disconnect', () => process.exit(EXIT.failed));
  process.channel?.unref();
  // Native jobs do not keep the process alive by themselves.
  const alive = setInterval(() => {}, 2 ** 30);
  return () => {
    clearInterval(alive);
    for (const signal of signals) process.off(signal, stop);
  };
}

/** `mode-ensemble … | head` closes stdout early; that is no error. */
function ignoreClosedPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit();
      throw error;
    });
  }
}
