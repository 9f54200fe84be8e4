/** How far a training has come that another process does: what it adds to its log.jsonl. */
import { closeSync, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { EpochEvent, StepEvent } from '../native/contract.js';

type LogLine = EpochEvent | StepEvent;

/**
 * Reads the lines that are added to a mode's log from now on. A training puts a new file in the place of the old one as it
 * begins (log.ts); of that one all lines are read, also those of before it was stopped.
 */
export class LogFollower {
  private readonly file: string;
  private inode: number | undefined;
  private offset = 0;
  /** The beginning of a line that is not whole yet. */
  private rest = Buffer.alloc(0);

  constructor(folder: string) {
    this.file = join(folder, 'log.jsonl');
    const stats = statSync(this.file, { throwIfNoEntry: false });
    this.inode = stats?.ino;
    this.offset = stats?.size ?? 0;
  }

  /** The lines since the last call; none where the file is not there, or cannot be read at this moment. */
  read(): LogLine[] {
    let file: number;
    try {
      file = openSync(this.file, 'r');
    } catch {
      return [];
    }
    try {
      const { ino, size } = fstatSync(file);
      if (ino !== this.inode || size < this.offset) {
        this.inode = ino;
        this.offset = 0;
        this.rest = Buffer.alloc(0);
      }
      const added = Buffer.alloc(Math.max(0, size - this.offset));
      const length = readSync(file, added, 0, added.length, this.offset);
      this.offset += length;
      const bytes = Buffer.concat([this.rest, added.subarray(0, length)]);
      const end = bytes.lastIndexOf('\n') + 1;
      this.rest = bytes.subarray(end);
      return parseLines(bytes.toString('utf8', 0, end));
    } catch {
      return [];
    } finally {
      closeSync(file);
    }
  }
}

/** The last epoch that a mode's log tells of; undefined where it tells of none. */
export function lastEpoch(folder: string): EpochEvent | undefined {
  let text: string;
  try {
    text = readFileSync(join(folder, 'log.jsonl'), 'utf8');
  } catch {
    return undefined;
  }
  return parseLines(text).findLast((line) => line.type === 'epoch');
}

function parseLines(text: string): LogLine[] {
  return text.split('\n').flatMap((line) => {
    try {
      const event = JSON.parse(line) as LogLine;
      return event.type === 'epoch' || event.type === 'step' ? [event] : [];
    } catch {
      return []; // the end of the file, or what a process was writing when it was killed
    }
  });
}
