/** What a training tells as it goes on, kept beside the mode: log.jsonl, and the same for TensorBoard. */
import { appendFileSync, existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModeEnsembleError } from '../config/errors.js';
import { ioError, temporaryName } from '../config/files.js';
import type { EpochEvent, StepEvent } from '../native/contract.js';
import { EVENTS_FILE, encodeEvent, encodeHeader, type LoggedEvent } from './tensorboard.js';

export interface TrainingLog {
  /** False where the disk refused the line. */
  write(event: EpochEvent | StepEvent): boolean;
  /** Why, as an error to throw. */
  fault: ModeEnsembleError | undefined;
}

/** How far a training has come: finished epochs, and steps of all of them. */
export interface Reached {
  epoch: number;
  steps: number;
}

/**
 * Starts log.jsonl anew, or goes on with what it had when the training had come so far, and adds a line, with the `time` in
 * seconds since 1970, for every report of steps and every epoch. TensorBoard's events are made of these lines, also at the start.
 */
export function openLog(folder: string, reached?: Reached): TrainingLog {
  const file = join(folder, 'log.jsonl');
  const events = join(folder, EVENTS_FILE);
  // Not the final name and more: TensorBoard would take that for a later file of events, and leave the first one.
  const temporaryEvents = temporaryName(join(folder, 'events'));
  let kept: LoggedEvent[] = [];
  const fault =
    attempt(file, () => {
      const lines = reached && existsSync(file) ? linesUntil(readFileSync(file, 'utf8'), reached) : [];
      if (lines.length > 0) kept = withTimes(lines, statSync(file).mtimeMs / 1000);
      replaceFile(file, temporaryName(file), lines.map((line) => `${line}\n`).join(''));
    }) ??
    attempt(events, () => {
      const header = encodeHeader(kept[0]?.time ?? now());
      replaceFile(events, temporaryEvents, Buffer.concat([header, ...kept.map(encodeEvent)]));
    });
  if (fault) throw fault;
  const log: TrainingLog = {
    fault: undefined,
    write(event) {
      const line: LoggedEvent = { ...event, time: now() };
      log.fault ??=
        attempt(file, () => appendFileSync(file, `${JSON.stringify(line)}\n`)) ??
        attempt(events, () => appendFileSync(events, encodeEvent(line)));
      return log.fault === undefined;
    },
  };
  return log;
}

const now = () => Date.now() / 1000;

function attempt(file: string, work: () => void): ModeEnsembleError | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return ioError(error, file, 'written');
  }
}

function replaceFile(file: string, temporary: string, content: string | Buffer): void {
  writeFileSync(temporary, content);
  renameSync(temporary, file);
}

/** The lines that a training has written before it came further than that; it will write the others again. */
function linesUntil(text: string, { epoch, steps }: Reached): string[] {
  const isBefore = (line: string) => {
    try {
      const event = JSON.parse(line);
      return event.type === 'epoch' ? event.epoch <= epoch : event.globalStep <= steps;
    } catch {
      return false; // the process was killed as it wrote the last one
    }
  };
  return text.split('\n').filter((line) => line !== '' && isBefore(line));
}

/**
 * What the lines tell. Older versions wrote no time: theirs is the first that a later line has, else when the log was changed last.
 */
function withTimes(lines: readonly string[], changed: number): LoggedEvent[] {
  const events: LoggedEvent[] = lines.map((line) => JSON.parse(line));
  const time = events.find((event) => event.time !== undefined)?.time ?? changed;
  return events.map((event) => ({ ...event, time: event.time ?? time }));
}
