/** What a training tells as it goes on, kept beside the mode. */
import { appendFileSync, renameSync, writeFileSync } from 'node:fs';
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

/** Starts log.jsonl anew (so does training) and adds a line for every report of steps and every epoch. */
export function openLog(folder: string): TrainingLog {
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
    writeFileSync(temporary, '');
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
