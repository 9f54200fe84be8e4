/** What a training tells as it goes on, kept beside the mode. */
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModeEnsembleError } from '../config/errors.js';
import { ioError, temporaryName } from '../config/files.js';
import type { EpochEvent, StepEvent } from '../native/contract.js';

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
 * Starts log.jsonl anew, or goes on with what it had when the training had come so far, and adds a line for every report of
 * steps and every epoch.
 */
export function openLog(folder: string, reached?: Reached): TrainingLog {
  const file = join(folder, 'log.jsonl');
  const attempt = (work: () => void) => {
    try {
      work();
      return undefined;
    } catch (error) {
      return ioError(error, file, 'written');
    }
  };
  const fault = attempt(() => {
    const temporary = temporaryName(file);
    writeFileSync(temporary, reached && existsSync(file) ? linesUntil(readFileSync(file, 'utf8'), reached) : '');
    renameSync(temporary, file);
  });
  if (fault) throw fault;
  const log: TrainingLog = {
    fault: undefined,
    write(event) {
      log.fault ??= attempt(() => appendFileSync(file, `${JSON.stringify(event)}\n`));
      return log.fault === undefined;
    },
  };
  return log;
}

/** The lines that a training has written before it came further than that; it will write the others again. */
function linesUntil(text: string, { epoch, steps }: Reached): string {
  const isBefore = (line: string) => {
    try {
      const event = JSON.parse(line);
      return event.type === 'epoch' ? event.epoch <= epoch : event.globalStep <= steps;
    } catch {
      return false; // the process was killed as it wrote the last one
    }
  };
  return text
    .split('\n')
    .filter((line) => line !== '' && isBefore(line))
    .map((line) => `${line}\n`)
    .join('');
}
