import { Progress } from './progress.js';

/** What a command gets besides its flags. */
export class CommandContext {
  readonly abort = new AbortController();
  readonly progress = new Progress();
  /** Where finished work is kept; what a stopped command tells. */
  kept: string | undefined;
  /** The exit code of a command that was stopped. */
  stoppedWith = 130;

  get signal(): AbortSignal {
    return this.abort.signal;
  }

  /** Hooks for whatever the command runs. */
  get hooks() {
    const { onStage, onProgress, onEpoch, onLog } = this.progress;
    return { signal: this.signal, onStage, onProgress, onEpoch, onLog };
  }

  /** A result, on stdout. */
  print(text: string): void {
    this.progress.clear();
    process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
  }

  printJson(value: unknown): void {
    this.print(JSON.stringify(value, null, 2));
  }
}
