/**
 * What was done in a run folder, a line a thing: `steps.jsonl`. Only the process that holds the folder writes to it; steps that
 * were done elsewhere are entered by it. The order of the lines counts, not the clock.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { TaskEvent } from '../cluster/executor.js';
import { ioError } from '../config/files.js';

/** A line of the file. */
export interface StepRecord extends TaskEvent {
  /** Counts the lines. */
  n: number;
  /** ISO 8601, by the clock of whoever did it. */
  time: string;
}

/** A record as it is handed in. */
type Entry = { [Name in keyof Omit<StepRecord, 'n'>]?: StepRecord[Name] | undefined } & Pick<
  StepRecord,
  'event' | 'step'
>;

export class Journal {
  private readonly records: StepRecord[] = [];

  /** Reads what is there; a last line that a killed process left unfinished is passed over. */
  constructor(readonly path: string) {
    if (!existsSync(path)) return;
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
      // What comes next must not be glued to half a line.
      if (text !== '' && !text.endsWith('\n')) appendFileSync(path, '\n');
    } catch (error) {
      throw ioError(error, path, 'read');
    }
    for (const line of text.split('\n')) {
      const record = parse(line);
      if (record) this.records.push(record);
    }
  }

  get all(): readonly StepRecord[] {
    return this.records;
  }

  /** @param record what it says of time, host and process; default: now, and this one */
  write(record: Entry): void {
    const n = (this.records.at(-1)?.n ?? 0) + 1;
    const here = { time: new Date().toISOString(), host: hostname(), pid: process.pid };
    const given = Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as Entry;
    const whole = { n, ...here, ...given } as StepRecord;
    try {
      appendFileSync(this.path, `${JSON.stringify(whole)}\n`, { flush: true });
    } catch (error) {
      throw ioError(error, this.path, 'written');
    }
    this.records.push(whole);
  }

  /** Enters that a result was there, once. */
  found(step: string, key: string | undefined): void {
    const isKnown = this.records.some(
      (record) => record.step === step && record.key === key && (record.event === 'done' || record.event === 'found'),
    );
    if (!isKnown) this.write({ event: 'found', step, key });
  }
}

function parse(line: string): StepRecord | undefined {
  try {
    const record = JSON.parse(line);
    return typeof record?.step === 'string' && typeof record.n === 'number' ? record : undefined;
  } catch {
    return undefined;
  }
}
