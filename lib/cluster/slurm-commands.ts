/** Slurm's own programs, and what they say. Source: the manual pages of sbatch, squeue and scontrol (22.05). */
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { ModeEnsembleError } from '../config/errors.js';

/** One element of a job array as the queue has it. */
export interface QueuedTask {
  /** `<id>_<index>`. */
  job: string;
  /** Name of the job. */
  name: string;
  /** `PENDING`, `RUNNING`, … */
  state: string;
  /** Why it waits. */
  reason: string;
}

/** How an element has ended; null where Slurm does not know it any more. */
export interface EndOfJob {
  /** `COMPLETED`, `FAILED`, `CANCELLED`, `TIMEOUT`, `NODE_FAIL`, `OUT_OF_MEMORY`, … */
  state: string;
  exitCode: string;
}

export interface SlurmCommands {
  /** @returns the job's id */
  submit(options: readonly string[], script: string): Promise<string>;
  /** The jobs of this user that are not over. */
  queue(): Promise<QueuedTask[]>;
  endOf(job: string): Promise<EndOfJob | null>;
  /** Elements that an array may have. */
  arrayLimit(): Promise<number>;
}

/** A controller that is busy is asked again so often, after so long. */
const TRIES = 5;
const PAUSE_MS = 2000;
const BUSY = /timed out|try again|Unable to contact|Connection refused|Communication connection failure|Zero Bytes/i;

export const slurmCommands: SlurmCommands = {
  async submit(options, script) {
    const said = await call('sbatch', ['--parsable', ...options], script);
    const id = /^(\d+)(;|$)/.exec(said.trim().split('\n').at(-1) ?? '')?.[1];
    if (id !== undefined) return id;
    throw new ModeEnsembleError('E_DEVICE', `sbatch: expected the id of a job, found "${said.trim()}"`);
  },

  async queue() {
    const said = await call('squeue', ['--noheader', '--array', '--me', '--states=all', '--format=%i|%j|%T|%r']);
    return said.split('\n').flatMap((line) => {
      const [job = '', name = '', state = '', reason = ''] = line.trim().split('|');
      return job === '' || OVER.includes(state) ? [] : [{ job, name, state, reason }];
    });
  },

  async endOf(job) {
    const said = await call('scontrol', ['--oneliner', 'show', 'job', job]).catch(() => '');
    const state = /\bJobState=(\w+)/.exec(said)?.[1];
    if (state !== undefined) return { state, exitCode: /\bExitCode=([\d:]+)/.exec(said)?.[1] ?? '' };
    // Where jobs are accounted for, they are known for longer.
    const kept = await call('sacct', [
      '--noheader',
      '--parsable2',
      '--allocations',
      '--format=State,ExitCode',
      `--jobs=${job}`,
    ]).catch(() => '');
    const [past = '', exitCode = ''] = kept.trim().split('\n').at(-1)?.split('|') ?? [];
    return past === '' ? null : { state: past.split(' ')[0] as string, exitCode };
  },

  async arrayLimit() {
    const said = await call('scontrol', ['show', 'config']);
    return Number(/^MaxArraySize\s*=\s*(\d+)/m.exec(said)?.[1] ?? 1001);
  },
};

/** States of jobs that squeue may still show, although they are over. */
const OVER = [
  'BOOT_FAIL',
  'CANCELLED',
  'COMPLETED',
  'DEADLINE',
  'FAILED',
  'NODE_FAIL',
  'OUT_OF_MEMORY',
  'PREEMPTED',
  'REVOKED',
  'TIMEOUT',
];

/** @throws ModeEnsembleError E_DEVICE with the program's last words */
async function call(program: string, args: readonly string[], input = ''): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const { code, stdout, stderr } = await spawned(program, args, input);
    if (code === 0) return stdout;
    const said = stderr.trim().split('\n').at(-1) ?? '';
    if (code === 'ENOENT') {
      throw new ModeEnsembleError('E_DEVICE', `${program}: expected Slurm's programs on this machine, found none`);
    }
    // Nothing may be handed in twice: a submission is repeated only where the controller was not reached.
    if (attempt === TRIES || !BUSY.test(said) || (program === 'sbatch' && /timed out/i.test(said))) {
      throw new ModeEnsembleError('E_DEVICE', `${program}: ${said === '' ? `ended with ${code}` : said}`);
    }
    await sleep(PAUSE_MS);
  }
}

function spawned(program: string, args: readonly string[], input: string) {
  return new Promise<{ code: number | string; stdout: string; stderr: string }>((resolve) => {
    // Slurm's own variables of defaults would change the output.
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(SQUEUE|SACCT|SBATCH)_/.test(name)),
    );
    const child = execFile(program, [...args], { env, maxBuffer: 1 << 28 }, (error, stdout, stderr) => {
      resolve({ code: error ? (error.code ?? 'a signal') : 0, stdout, stderr });
    });
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}
