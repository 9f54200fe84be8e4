/** A Slurm of its own: one node, in a temporary folder, with ports, a key and a socket of its own. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism, hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const PROGRAMS = ['munged', 'slurmctld', 'slurmd', 'sbatch', 'srun', 'squeue', 'scancel', 'scontrol'];
const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

/** Why Slurm cannot be started here; false where it can. */
export function noSlurm(): string | false {
  const found = (name: string) => spawnSync('sh', ['-c', `command -v ${name}`], { env: { PATH } }).status === 0;
  const missing = PROGRAMS.filter((name) => !found(name));
  if (missing.length > 0) return `Slurm is not installed: there is no ${missing.join(', ')} (Debian: slurm-wlm, munge)`;
  return process.getuid?.() === 0 ? false : 'Slurm can only be started as root';
}

export interface Slurm {
  /** With which its programs find it. */
  env: NodeJS.ProcessEnv;
  stop(): Promise<void>;
}

export interface SlurmSettings {
  maxArraySize?: number;
}

/** @throws Error with what its daemons have said, where they do not come up */
export async function startSlurm({ maxArraySize = 1001 }: SlurmSettings = {}): Promise<Slurm> {
  // Sockets' names are short, and munged wants folders that nobody else can write to.
  const folder = mkdtempSync(join(tmpdir(), 'slurm-'));
  chmodSync(folder, 0o755);
  for (const name of ['munge', 'state', 'spool', 'log']) mkdirSync(join(folder, name), { mode: 0o755 });
  const at = (...names: string[]) => join(folder, ...names);
  const key = at('munge', 'key');
  writeFileSync(key, randomBytes(1024), { mode: 0o400 });
  const socket = at('munge', 'socket');
  const [controller, daemon] = [await freePort(), await freePort()];
  const host = hostname();
  const cpus = Math.max(2, availableParallelism());
  const conf = at('slurm.conf');
  writeFileSync(
    conf,
    `ClusterName=test
SlurmctldHost=${host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=${socket}
CredType=cred/munge
SlurmctldPort=${controller}
SlurmdPort=${daemon}
StateSaveLocation=${at('state')}
SlurmdSpoolDir=${at('spool')}
SlurmctldPidFile=${at('slurmctld.pid')}
SlurmdPidFile=${at('slurmd.pid')}
SlurmctldLogFile=${at('log', 'slurmctld')}
SlurmdLogFile=${at('log', 'slurmd')}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=100000,batch_sched_delay=0,defer_batch
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=2
KillWait=10
MinJobAge=300
MaxArraySize=${maxArraySize}
SwitchType=switch/none
PropagateResourceLimits=NONE
NodeName=${host} NodeAddr=127.0.0.1 CPUs=${cpus} RealMemory=2000 State=UNKNOWN
PartitionName=test Nodes=${host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
`,
  );
  const env = { ...process.env, PATH, SLURM_CONF: conf };
  const children: ChildProcess[] = [];
  const start = (command: string, ...args: string[]) => {
    children.push(spawn(command, args, { env, stdio: 'ignore' }));
  };
  const stop = async () => {
    const ended = children.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'exit'));
    spawnSync('scancel', ['--me'], { env, timeout: 5000 });
    for (const child of [...children].reverse()) {
      child.kill('SIGTERM');
      await Promise.race([once(child, 'exit').catch(() => {}), sleep(5000)]);
      child.kill('SIGKILL');
    }
    await Promise.all(ended);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const ours = [
      '--key-file',
      key,
      '--socket',
      socket,
      '--pid-file',
      at('munge', 'pid'),
      '--seed-file',
      at('munge', 'seed'),
    ];
    start('munged', '--foreground', '--force', ...ours, '--log-file', at('log', 'munged'));
    await until(() => existsSync(socket), 'munged');
    start('slurmctld', '-D', '-c', '-f', conf);
    start('slurmd', '-D', '-c', '-f', conf, '-N', host);
    const isUp = () => /idle/.test(spawnSync('sinfo', ['-h', '-o', '%T'], { env, encoding: 'utf8' }).stdout);
    await until(isUp, 'its node');
    return { env, stop };
  } catch (error) {
    const said = ['munged', 'slurmctld', 'slurmd'].map((name) => {
      const log = at('log', name);
      return existsSync(log) ? `${name}:\n${readFileSync(log, 'utf8').split('\n').slice(-15).join('\n')}` : '';
    });
    await stop();
    throw new Error(`${(error as Error).message}\n${said.join('\n')}`);
  }
}

async function until(isThere: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 300; i++) {
    if (isThere()) return;
    await sleep(100);
  }
  throw new Error(`Slurm does not come up: ${what} was waited for 30 seconds`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}
