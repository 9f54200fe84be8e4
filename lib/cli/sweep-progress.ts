/** How far all modes of a sweep are: one table on a terminal, plain lines elsewhere. */
import type { SweepMode, SweepState } from '../run/sweep.js';
import { duration, INTERVAL_MS, Progress } from './progress.js';
import { formatTable } from './table.js';

/** The table is drawn anew this often. */
const DRAW_MS = 250;
/** What a narrow terminal cuts off first comes last. */
const HEAD = ['architecture', 'seed', 'state', 'epoch', 'loss', 'accuracy', 'time left', 'images/s'];
const NUMBERS = [1, 3, 4, 5, 6, 7];
/** Rows that are left out first where the terminal has too few lines come last. */
const IMPORTANCE: readonly SweepState[] = ['training', 'failed', 'waiting', 'finished', 'skipped'];
/** One line for the table's head, one for the sums, one for the cursor. */
const OTHER_LINES = 3;

interface Row {
  mode: SweepMode;
  /** When it was told. */
  at: number;
}

export class SweepProgress extends Progress {
  private readonly rows = new Map<string, Row>();
  private timer: NodeJS.Timeout | undefined;
  private began = 0;
  /** Lines of the table that are on the screen. */
  private drawn = 0;
  private lastTold = 0;

  /** All modes, before the first begins. */
  begin(modes: readonly SweepMode[]): void {
    this.clear();
    this.began = this.now();
    this.lastTold = this.began;
    for (const mode of modes) this.rows.set(label(mode), { mode, at: this.began });
    this.timer = setInterval(() => this.tick(), DRAW_MS);
    this.tick();
  }

  update(mode: SweepMode): void {
    const before = this.rows.get(label(mode))?.mode;
    this.rows.set(label(mode), { mode, at: this.now() });
    if (!this.stream.isTTY) this.tell(mode, before);
  }

  /** Nothing more will come. */
  end(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.clear();
  }

  override line(text: string): void {
    this.lastTold = this.now();
    super.line(text);
  }

  override clear(): void {
    super.clear();
    const away = this.takeAway();
    if (away !== '') this.stream.write(away);
  }

  /** What takes the table off the screen. */
  private takeAway(): string {
    const away = this.drawn > 0 ? `\r\x1b[${this.drawn}A\x1b[J` : '';
    this.drawn = 0;
    return away;
  }

  /** Draws the table; where there is no terminal, says now and then where the trainings are. */
  tick(): void {
    const now = this.now();
    if (this.stream.isTTY) {
      const lines = this.table(now, this.stream.rows ?? 24, this.stream.columns ?? 80);
      super.clear();
      // In one piece, so that it does not flicker.
      this.stream.write(this.takeAway() + lines.map((line) => `${line}\n`).join(''));
      this.drawn = lines.length;
    } else if (now - this.lastTold >= INTERVAL_MS) {
      this.line(this.sums(now));
    }
  }

  private table(now: number, height: number, width: number): string[] {
    const all = [...this.rows.values()];
    const count = Math.max(1, height - OTHER_LINES);
    const byImportance = all.toSorted((a, b) => IMPORTANCE.indexOf(a.mode.state) - IMPORTANCE.indexOf(b.mode.state));
    const shown = new Set(byImportance.slice(0, count));
    const table = formatTable(
      HEAD,
      all.filter((row) => shown.has(row)).map((row) => cells(row, now)),
      NUMBERS,
    );
    const more = all.length > count ? `${all.length - count} more not shown; ` : '';
    // A line that is broken by the terminal would be two to take away.
    return [...table.split('\n'), `${more}${this.sums(now)}`].map((line) => line.slice(0, Math.max(1, width - 1)));
  }

  /** `1 of 4 modes finished, 1 failed, 2 in training; 2 min 3 s`. */
  private sums(now: number): string {
    const modes = [...this.rows.values()].map(({ mode }) => mode);
    const count = (...states: SweepState[]) => modes.filter(({ state }) => states.includes(state)).length;
    const failed = count('failed') > 0 ? `, ${count('failed')} failed` : '';
    const done = `${count('finished', 'skipped')} of ${modes.length} modes finished${failed}`;
    const training = modes.filter(({ state }) => state === 'training');
    const places = training.map((mode) =>
      mode.epoch === undefined ? label(mode) : `${label(mode)} (epoch ${epochText(mode)})`,
    );
    // The table says which.
    const rest =
      this.stream.isTTY || training.length === 0 ? `${training.length} in training` : `training ${places.join(', ')}`;
    return `${done}, ${rest}; ${duration((now - this.began) / 1000)}`;
  }

  /** A line where a mode has come to another state, or to the end of an epoch. */
  private tell(mode: SweepMode, before: SweepMode | undefined): void {
    const who = label(mode);
    if (mode.state !== before?.state) {
      if (mode.state === 'training') {
        this.line(`${who}: ${mode.goesOn ? 'training goes on where it was stopped' : 'training'}`);
      } else if (mode.state === 'finished') {
        this.line(`${who}: finished${accuracyText(mode)}`);
      } else if (mode.state === 'skipped') {
        this.line(`${who}: finished before, with the same settings${accuracyText(mode)}`);
      } else if (mode.state === 'failed') {
        this.line(`${who}: failed: ${mode.error?.message}`);
      }
      return;
    }
    const wasTold = before.share === 1 && before.epoch === mode.epoch;
    if (mode.state !== 'training' || mode.share !== 1 || wasTold) return;
    const { epoch, epochs, loss = 0, imagesPerSecond = 0, secondsLeft = 0 } = mode;
    const left = secondsLeft > 0 ? `, ${duration(secondsLeft)} left` : '';
    const numbers = `loss ${loss.toFixed(4)}${accuracyText(mode)}, ${Math.round(imagesPerSecond)} images/s`;
    this.line(`${who}: epoch ${epoch}/${epochs}, ${numbers}${left}`);
  }
}

function label({ arch, seed }: SweepMode): string {
  return `${arch} seed ${seed}`;
}

function accuracyText({ accuracy }: SweepMode): string {
  return accuracy === undefined ? '' : `, test accuracy ${accuracy.toFixed(2)} %`;
}

/** `3/10`, or `3/10, 45 %` in the midst of it. */
function epochText({ epoch, epochs, share = 1 }: SweepMode): string {
  return `${epoch}/${epochs}${share < 1 ? `, ${Math.floor(100 * share)} %` : ''}`;
}

function cells({ mode, at }: Row, now: number): string[] {
  const { arch, seed, state, epoch, epochs, share = 1, loss, accuracy, imagesPerSecond, secondsLeft } = mode;
  const isTraining = state === 'training';
  const left = secondsLeft === undefined ? '' : duration(Math.max(0, secondsLeft - (now - at) / 1000));
  return [
    arch,
    String(seed),
    state,
    epoch === undefined ? '' : `${(epoch - 1 + share).toFixed(1)}/${epochs}`,
    loss === undefined ? '' : loss.toFixed(4),
    accuracy === undefined ? '' : `${accuracy.toFixed(2)} %`,
    isTraining ? left : '',
    imagesPerSecond === undefined ? '' : String(Math.round(imagesPerSecond)),
  ];
}
