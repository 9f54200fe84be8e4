/** A training in a process of its own: `mode-ensemble train … --json`. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ERROR_CODES, type ErrorCode } from '../config/errors.js';
import type { LogEvent } from '../native/contract.js';

const PROGRAM = fileURLToPath(new URL('../../../bin/mode-ensemble.js', import.meta.url));
/** So much of what it says last is kept. */
const KEPT_CHARACTERS = 4000;

/** What went wrong, as data. */
export interface Failure {
  /** E_INTERNAL: a fault of the program, or a process that was ended from outside. */
  code: ErrorCode | 'E_INTERNAL';
  message: string;
}

/** What `train --json` prints; without numbers where the mode was finished before. */
export interface Trained {
  checkpoint: string;
  isNew: boolean;
  /** Of the checkpoint. */
  sha256: string;
  resumedAt?: number;
  loss?: number;
  accuracy?: number;
  top5?: number;
  seconds?: number;
  imagesPerSecond?: number;
}

export interface Training {
  /** Resolves when the process has ended, however it did. */
  done: Promise<{ trained: Trained } | { failure: Failure }>;
  /** It finishes its batch, and writes down what it needs to go on. */
  stop(): void;
}

export type StartTraining = (args: readonly string[], onLog: (event: LogEvent) => void) => Training;

/**
 * Starts a training. It ends by itself when this process does, however that ends: the channel between the two closes. Ctrl-C
 * on a terminal reaches both; a process with such a channel leaves it to who started it (cli/main.ts), so that it is never told
 * twice, which would end it at once.
 */
export const startTraining: StartTraining = (args, onLog) => {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  let printed = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    printed += chunk;
  });
  let said = '';
  let rest = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    said = `${said}${chunk}`.slice(-KEPT_CHARACTERS);
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const message = /^warning: (.*)/.exec(line)?.[1];
      if (message !== undefined) onLog({ type: 'log', level: 'warning', message });
    }
  });
  const done = new Promise<Awaited<Training['done']>>((resolve) => {
    child.on('error', (error) => {
      if (child.pid !== undefined) return; // it could not be signalled, since it has ended
      resolve({ failure: { code: 'E_IO', message: `a process for it cannot be started: ${error.message}` } });
    });
    child.once('close', (code, signal) => resolve(outcome(code, signal, printed, said)));
  });
  return { done, stop: () => void child.kill('SIGTERM') };
};

function outcome(code: number | null, signal: NodeJS.Signals | null, printed: string, said: string) {
  if (signal === 'SIGKILL') {
    const message = 'its process was ended by SIGKILL, which the system does where memory runs out';
    return { failure: { code: 'E_INTERNAL' as const, message } };
  }
  if (signal) return { failure: { code: 'E_INTERNAL' as const, message: `its process was ended by ${signal}` } };
  const result = parse(printed);
  if (code === 0 && isTrained(result)) return { trained: result };
  return { failure: failureOf(result) ?? lastWords(code, said) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isTrained(value: unknown): value is Trained {
  return typeof (value as Partial<Trained> | undefined)?.checkpoint === 'string';
}

function failureOf(value: unknown): Failure | undefined {
  const { code, message } = (value as { error?: Partial<Failure> } | undefined)?.error ?? {};
  if (typeof message !== 'string') return undefined;
  return { code: ERROR_CODES.find((known) => known === code) ?? 'E_INTERNAL', message };
}

/** One of several ranks tells what is wrong by the last line alone. */
function lastWords(code: number | null, said: string): Failure {
  const line = said.trimEnd().split('\n').at(-1) ?? '';
  const message = line.replace(/^mode-ensemble(, rank \d+)?: /, '');
  return { code: 'E_INTERNAL', message: message === '' ? `its process has ended with exit code ${code}` : message };
}
