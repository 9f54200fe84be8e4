/** How the processes that train one network together were started, read from what their launcher leaves in the environment. */
import { availableParallelism, cpus } from 'node:os';
import { describe } from '../config/describe.js';
import { ConfigError } from '../config/errors.js';
import type { JoinOptions } from '../native/contract.js';

export interface Launch {
  /** For messages. */
  by: string;
  options: JoinOptions;
  /** How many of the ranks share this machine, as far as the launcher tells. */
  onThisMachine: number;
  /** This one's place among them, from 0. */
  localRank: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

interface Launcher {
  by: string;
  /** Undefined where it was not this one. */
  read(env: Environment): Omit<Launch, 'by'> | undefined;
}

/** A whole number of at least `least`. @throws ConfigError */
function whole(env: Environment, name: string, least = 0): number {
  const value = Number(env[name] ?? Number.NaN);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new ConfigError(`${name}: expected a whole number of at least ${least}, found ${describe(env[name])}`);
}

const optional = (env: Environment, name: string, otherwise: number): number =>
  env[name] === undefined ? otherwise : whole(env, name, 1);

/** A rank's place on its machine; `otherwise` where the launcher does not tell it. */
const localRankIn = (env: Environment, name: string, otherwise: number): number =>
  env[name] === undefined ? otherwise : whole(env, name);

const NO_ADDRESS = { address: '', port: 0, prefix: '', agent: false } as const;

/** Also what `--ranks` sets. */
const torchrun: Launcher = {
  by: 'RANK and WORLD_SIZE (torchrun)',
  read(env) {
    if (env.RANK === undefined || env.WORLD_SIZE === undefined) return undefined;
    const { MASTER_ADDR: address = '', TORCHELASTIC_RUN_ID: run = '', TORCHELASTIC_RESTART_COUNT: restart = '0' } = env;
    if (address === '') throw new ConfigError('MASTER_ADDR: expected the host of rank 0 beside RANK, found nothing');
    const size = whole(env, 'WORLD_SIZE', 1);
    const agent = env.TORCHELASTIC_USE_AGENT_STORE === 'True';
    const place = { address, port: whole(env, 'MASTER_PORT', 1), prefix: `mode-ensemble/${run}/${restart}`, agent };
    const onThisMachine = optional(env, 'LOCAL_WORLD_SIZE', size);
    const rank = whole(env, 'RANK');
    const localRank = localRankIn(env, 'LOCAL_RANK', rank % onThisMachine);
    return { options: { kind: 'tcp', rank, size, ...place }, onThisMachine, localRank };
  },
};

function mpi(by: string, rank: string, size: string, local: string, localRank: string): Launcher {
  return {
    by,
    read(env) {
      if (env[size] === undefined || env[rank] === undefined) return undefined;
      const ranks = { rank: whole(env, rank), size: whole(env, size, 1) };
      const onThisMachine = optional(env, local, ranks.size);
      return {
        options: { kind: 'mpi', ...ranks, ...NO_ADDRESS },
        onThisMachine,
        localRank: localRankIn(env, localRank, ranks.rank % onThisMachine),
      };
    },
  };
}

/** A step of several tasks; inside of a batch script by itself there is none. */
const srun: Launcher = {
  by: 'srun',
  read(env) {
    if (env.SLURM_STEP_NUM_TASKS === undefined || env.SLURM_PROCID === undefined) return undefined;
    const size = whole(env, 'SLURM_STEP_NUM_TASKS', 1);
    const address = firstHost(env.SLURM_STEP_NODELIST ?? '');
    if (address === '') throw new ConfigError('SLURM_STEP_NODELIST: expected the nodes of the step, found nothing');
    const [job, step] = [whole(env, 'SLURM_JOB_ID'), whole(env, 'SLURM_STEP_ID')];
    // Below the ports that systems give to clients, and another one for each step.
    const port = 15_000 + ((job * 131 + step) % 15_000);
    const place = { address, port, prefix: `mode-ensemble/${job}.${step}`, agent: false };
    const onThisMachine = Number.parseInt(env.SLURM_STEP_TASKS_PER_NODE ?? '', 10) || size;
    const rank = whole(env, 'SLURM_PROCID');
    const localRank = localRankIn(env, 'SLURM_LOCALID', rank % onThisMachine);
    return { options: { kind: 'tcp', rank, size, ...place }, onThisMachine, localRank };
  },
};

/** In this order: one may have been started by another. */
const LAUNCHERS: readonly Launcher[] = [
  torchrun,
  mpi(
    'mpirun (Open MPI)',
    'OMPI_COMM_WORLD_RANK',
    'OMPI_COMM_WORLD_SIZE',
    'OMPI_COMM_WORLD_LOCAL_SIZE',
    'OMPI_COMM_WORLD_LOCAL_RANK',
  ),
  srun,
  mpi('mpiexec (MPICH)', 'PMI_RANK', 'PMI_SIZE', 'MPI_LOCALNRANKS', 'MPI_LOCALRANKID'),
];

/** `node[07-09,12],b2` → `node07`: of every bracket what comes first, and nothing behind a comma outside of them. */
export function firstHost(list: string): string {
  return list.replace(/\[([^\],-]*)[^\]]*\]/g, '$1').replace(/,.*/, '');
}

/**
 * Undefined for a process alone.
 *
 * @throws ConfigError that names the variable which is missing or wrong
 */
export function launchOf(env: Environment = process.env): Launch | undefined {
  for (const { by, read } of LAUNCHERS) {
    const found = read(env);
    if (!found) continue;
    const { rank, size } = found.options;
    if (rank >= size) throw new ConfigError(`${by}: expected a rank below ${size}, found ${rank}`);
    return size === 1 ? undefined : { by, ...found };
  }
  return undefined;
}

/** Whom a rank shares its machine's GPUs with; undefined for a process alone. */
export function localOf(launch: Launch | undefined): { rank: number; size: number } | undefined {
  return launch && { rank: launch.localRank, size: launch.onThisMachine };
}

/** A rank's part of the machine's cores; fewer where the launcher has bound it to fewer. */
export function threadsOf(launch: Launch | undefined): number {
  const share = Math.max(1, Math.floor(cpus().length / (launch?.onThisMachine ?? 1)));
  return Math.min(availableParallelism(), share);
}
