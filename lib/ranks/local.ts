/** Ranks on this machine: the same command, several times. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { ModeEnsembleError } from '../config/errors.js';

/** So long a rank may take to end when another one has failed. */
const GRACE_MS = 15_000;

export interface LocalRanks {
  count: number;
  /** What each of them runs, beginning with the script. */
  argv: readonly string[];
  /** Stops rank 0, which stops the others at the same step. */
  signal: AbortSignal;
}

/**
 * Starts `count` processes of the same command, with the variables that torchrun sets, and waits for their end. Rank 0 has this
 * process's standard input and outputs; of the others only what the first to fail says is shown.
 *
 * @returns rank 0's exit code where all agree, else that of the first to fail
 */
export async function runLocalRanks({ count, argv, signal }: LocalRanks): Promise<number> {
  const port = await freePort();
  const address = { WORLD_SIZE: count, LOCAL_WORLD_SIZE: count, MASTER_ADDR: '127.0.0.1', MASTER_PORT: port };
  const children = Array.from({ length: count }, (_, rank) => {
    const own = { RANK: rank, LOCAL_RANK: rank, ...address };
    const env = { ...process.env, ...Object.fromEntries(Object.entries(own).map(([k, v]) => [k, String(v)])) };
    // The channel tells a rank that this process is gone.
    const stdio =
      rank === 0 ? (['inherit', 'inherit', 'inherit', 'ipc'] as const) : (['ignore', 'ignore', 'pipe', 'ipc'] as const);
    return spawn(process.execPath, argv, { env, stdio: [...stdio] });
  });
  const stop = () => children[0]?.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  try {
    const ends = children.map((child, rank) => ended(child, rank));
    const first = await Promise.race(ends.map(async (end) => onlyFailure(await end)));
    if (first.code !== 0) endAll(children);
    const all = await Promise.all(ends);
    const failed = first.code === 0 ? all.find(({ code }) => code !== 0) : first;
    // A rank that was stopped has told the others, and rank 0 tells it to the user.
    const isStopped = signal.aborted || all[0]?.code === 130 || all[0]?.code === 143;
    if (failed && !isStopped && failed.said !== '') process.stderr.write(`${failed.said}\n`);
    return (isStopped ? all[0]?.code : failed?.code) ?? 0;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

interface End {
  rank: number;
  code: number;
  /** The last line on its standard error, where nobody has seen it. */
  said: string;
}

async function ended(child: ChildProcess, rank: number): Promise<End> {
  let said = '';
  child.stderr?.on('data', (chunk) => {
    said = `${said}${chunk}`.slice(-4000);
  });
  const [code, killed] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  if (killed) return { rank, code: 1, said: `mode-ensemble: rank ${rank} was ended by ${killed}` };
  // Rank 0 has said it itself.
  return { rank, code: code ?? 1, said: said.trimEnd().split('\n').at(-1) ?? '' };
}

/** Waits for ever for those that end well, so that a race is won by the first that fails; the last to end well ends it. */
function onlyFailure(end: End): Promise<End> | End {
  return end.code === 0 && end.rank > 0 ? new Promise(() => {}) : end;
}

function endAll(children: readonly ChildProcess[]): void {
  for (const child of children) {
    const timer = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
    child.once('exit', () => clearTimeout(timer));
    if (child.exitCode !== null || child.signalCode !== null) clearTimeout(timer);
  }
}

/** A port that nobody has at this moment. */
async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (address === null || typeof address === 'string') {
    throw new ModeEnsembleError('E_DEVICE', '127.0.0.1: no port is free');
  }
  return address.port;
}
