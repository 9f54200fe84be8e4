/** A Python script beside a bench: it answers one question at a time, and sleeps while ours is measured. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface PythonScript {
  /** A line of JSON in, a line of JSON out. */
  ask<Answer>(question: object): Promise<Answer>;
  end(): void;
}

/** A script of this folder; undefined where this Python has no torch. */
export function startPython(command: string, script: string, ...args: string[]): PythonScript | undefined {
  if (spawnSync(command, ['-c', 'import torch']).status !== 0) return undefined;
  const path = join(import.meta.dirname, '../../bench', script);
  // A group of its own, which is stopped as a whole: the threads of torch.compile go on for a while.
  const child = spawn(command, [path, ...args], { stdio: ['pipe', 'pipe', 'inherit'], detached: true });
  const signal = (name: NodeJS.Signals) => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, name);
  };
  process.once('exit', () => signal('SIGKILL'));
  const lines = createInterface({ input: child.stdout });
  return {
    async ask<Answer>(question: object) {
      const line = once(lines, 'line');
      signal('SIGCONT');
      child.stdin.write(`${JSON.stringify(question)}\n`);
      const answer = JSON.parse((await line)[0]) as Answer;
      signal('SIGSTOP');
      return answer;
    },
    end() {
      signal('SIGCONT');
      child.stdin.end();
    },
  };
}

const sorted = (numbers: readonly number[]): number[] => [...numbers].sort((a, b) => a - b);
export const median = (numbers: readonly number[]): number => sorted(numbers)[numbers.length >> 1] ?? Number.NaN;
export const show = (value: number): string => value.toFixed(value < 100 ? 1 : 0);
