import { Writable } from 'node:stream';
import { Progress } from './progress.js';

/** What a command gets besides its flags. */
export class CommandContext {
  readonly abort = new AbortController();
  progress = new Progress();
  /** Of a process that trains with others; before its errors. */
  name = 'mode-ensemble';
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

  /** Leaves news to rank 0. */
  beSilent(rank: number): void {
    this.progress = new Progress(new Writable({ write: (_chunk, _encoding, done) => done() }));
    this.name = `mode-ensemble, rank ${rank}`;
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
