import { Presets, SingleBar } from 'cli-progress';
import type { EpochEvent, LogEvent, ProgressEvent } from '../native/contract.js';
import type { StageHooks } from '../run/extract.js';

/** Without a terminal, a line this often. */
export const INTERVAL_MS = 10_000;
/** Stages that are over sooner than this leave no line. */
const BRIEF_MS = 1000;

export interface ProgressStream extends NodeJS.WritableStream {
  isTTY?: boolean;
  columns?: number;
  rows?: number;
}

/** Shows what goes on: a bar with rate and time left on a terminal, plain lines at intervals elsewhere. */
export class Progress implements StageHooks {
  private stage = '';
  private phase = '';
  private phaseBegan = 0;
  private lastLine = 0;
  /** The phase's end has been told; some phases report it more than once. */
  private isTold = false;
  private epoch: { epoch: number; epochs: number } | undefined;
  private bar: SingleBar | undefined;

  constructor(
    protected readonly stream: ProgressStream = process.stderr,
    protected readonly now: () => number = Date.now,
  ) {}

  readonly onStage = (stage: string): void => {
    this.clear();
    this.stage = stage;
    this.phase = '';
    this.epoch = undefined;
  };

  readonly onProgress = (event: ProgressEvent): void => {
    if (event.phase !== this.phase) {
      this.clear();
      this.phase = event.phase;
      this.phaseBegan = this.now();
      this.lastLine = this.now();
      this.isTold = false;
    }
    if (this.stream.isTTY) this.draw(event);
    else this.print(event);
  };

  readonly onEpoch = (event: EpochEvent): void => {
    this.epoch = event;
    this.phase = '';
    const { epoch, epochs, loss, accuracy, seconds, imagesPerSecond } = event;
    const left = epoch < epochs ? `, ${duration((epochs - epoch) * seconds)} left` : '';
    const numbers = `loss ${loss.toFixed(4)}, test accuracy ${accuracy.toFixed(2)} %`;
    const speed = `${Math.round(imagesPerSecond)} images/s, ${duration(seconds)}`;
    this.line(`${this.stage}: epoch ${epoch}/${epochs}, ${numbers}, ${speed}${left}`);
  };

  readonly onLog = (event: LogEvent): void => {
    this.line(event.level === 'warning' ? `warning: ${event.message}` : event.message);
  };

  /** A line of its own, above the bar. */
  line(text: string): void {
    this.clear();
    this.stream.write(`${text}\n`);
  }

  /** Takes the bar away; harmless at any time. */
  clear(): void {
    this.bar?.stop();
    this.bar = undefined;
  }

  private label(phase: string): string {
    if (this.epoch || phase === 'train') {
      const { epoch, epochs } = this.epoch ?? { epoch: 0, epochs: undefined };
      const number = epochs === undefined ? `${epoch + 1}` : `${epoch + 1}/${epochs}`;
      return `${this.stage}: epoch ${number}, ${phase}`;
    }
    return this.stage === '' ? phase : this.stage;
  }

  private draw({ phase, done, total, rate }: ProgressEvent): void {
    if (!this.bar) {
      this.bar = new SingleBar(
        {
          stream: this.stream,
          format: '{label} {bar} {percentage}% | {value}/{total} | {rate}/s | {left} left',
          barsize: 24,
          clearOnComplete: true,
          // Signals are the command line's business (main.ts), which also takes the bar away.
          gracefulExit: false,
        },
        Presets.shades_classic,
      );
      this.bar.start(total, done, this.payload({ phase, done, total, rate }));
    }
    this.bar.setTotal(Math.max(total, done));
    this.bar.update(done, this.payload({ phase, done, total, rate }));
  }

  private payload({ phase, done, total, rate }: Omit<ProgressEvent, 'type'>) {
    return { label: this.label(phase), rate: Math.round(rate), left: timeLeft(done, total, rate) };
  }

  private print({ phase, done, total, rate }: ProgressEvent): void {
    const now = this.now();
    const isOver = total > 0 && done >= total;
    // The epoch's own line follows the end of its phases.
    const isEpoch = phase === 'train' || phase === 'test';
    const isWanted = isOver
      ? !isEpoch && !this.isTold && now - this.phaseBegan >= BRIEF_MS
      : now - this.lastLine >= INTERVAL_MS;
    if (!isWanted) return;
    this.isTold = isOver;
    this.lastLine = now;
    const of = total > 0 ? `${done}/${total}` : `${done}`;
    const end = isOver ? `done in ${duration((now - this.phaseBegan) / 1000)}` : `${timeLeft(done, total, rate)} left`;
    this.line(`${this.label(phase)}: ${of}, ${Math.round(rate)}/s, ${end}`);
  }
}

function timeLeft(done: number, total: number, rate: number): string {
  return rate > 0 && total > 0 ? duration(Math.max(0, total - done) / rate) : '?';
}

/** Seconds as `4.2 s`, `3 min 20 s` or `2 h 5 min`. */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
