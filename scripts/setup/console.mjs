/** What a person sees of set-up: on a terminal a moving line for the step at work, elsewhere one line a finished step. */
const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

export class Console {
  #stream;
  #quiet;
  #timer;
  #frame = 0;

  constructor({ quiet = false, stream = process.stdout } = {}) {
    this.#stream = stream;
    this.#quiet = quiet;
    this.started = performance.now();
  }

  get #live() {
    return this.#stream.isTTY === true && !this.#quiet && process.env.TERM !== 'dumb';
  }

  line(text) {
    if (this.#quiet) return;
    this.#erase();
    this.#stream.write(`${text}\n`);
  }

  /**
   * Shows `title` while `work` runs, then a line with its result and seconds. `work` gets a function that changes what
   * is shown behind the title (a terminal only), and returns what is to be said when it is done.
   */
  async step(title, work) {
    const begun = performance.now();
    let detail = '';
    if (this.#live) {
      const draw = () => {
        const mark = FRAMES[this.#frame++ % FRAMES.length];
        const text = `${mark} ${title} ${seconds(begun)}${detail === '' ? '' : `  ${detail}`}`;
        this.#erase();
        this.#stream.write(text.slice(0, (this.#stream.columns ?? 80) - 1));
      };
      draw();
      this.#timer = setInterval(draw, 100);
    } else if (!this.#quiet) {
      this.#stream.write(`setup: ${title} …\n`);
    }
    try {
      const said = await work((text) => {
        detail = text;
      });
      this.stop();
      this.line(`setup: ${title}: ${said ?? 'done'} (${seconds(begun)})`);
    } finally {
      this.stop();
    }
  }

  /** Ends the moving line, if there is one. */
  stop() {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#erase();
  }

  table(title, rows) {
    if (this.#quiet) return;
    const width = Math.max(...rows.map(([name]) => name.length));
    this.line(title);
    for (const [name, value] of rows) this.line(`  ${name.padEnd(width)}  ${value}`);
  }

  #erase() {
    if (this.#live) this.#stream.write('\r\x1b[2K');
  }
}

export function seconds(begun) {
  return `${((performance.now() - begun) / 1000).toFixed(1)} s`;
}
