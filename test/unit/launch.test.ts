import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { firstHost, launchOf, threadsOf } from '../../lib/ranks/launch.js';

const TCP = { kind: 'tcp', agent: false };
const MPI = { kind: 'mpi', address: '', port: 0, prefix: '', agent: false };

describe('a launcher', () => {
  it('is none in an ordinary environment, nor where it has started one process alone', () => {
    assert.equal(launchOf({ PATH: '/bin' }), undefined);
    assert.equal(launchOf({ OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_SIZE: '1' }), undefined);
    // Of something else.
    assert.equal(launchOf({ RANK: '3' }), undefined);
    // A batch script, and not a step of several tasks.
    assert.equal(launchOf({ SLURM_JOB_ID: '7', SLURM_PROCID: '0', SLURM_NTASKS: '4' }), undefined);
  });

  it('may be torchrun, with its agent and a number for each restart', () => {
    const env = {
      ...{ RANK: '2', WORLD_SIZE: '4', LOCAL_WORLD_SIZE: '2', MASTER_ADDR: 'node7', MASTER_PORT: '29500' },
      ...{ TORCHELASTIC_RUN_ID: 'abc', TORCHELASTIC_RESTART_COUNT: '1', TORCHELASTIC_USE_AGENT_STORE: 'True' },
    };
    const place = { address: 'node7', port: 29500, prefix: 'mode-ensemble/abc/1', agent: true };
    assert.deepEqual(launchOf(env), {
      by: 'RANK and WORLD_SIZE (torchrun)',
      options: { kind: 'tcp', rank: 2, size: 4, ...place },
      onThisMachine: 2,
      localRank: 0,
    });
    assert.equal(launchOf({ ...env, LOCAL_RANK: '1' })?.localRank, 1);
  });

  it('may be one of two MPIs', () => {
    const open = { OMPI_COMM_WORLD_RANK: '1', OMPI_COMM_WORLD_SIZE: '8', OMPI_COMM_WORLD_LOCAL_SIZE: '4' };
    const found = launchOf(open);
    assert.deepEqual([found?.options, found?.onThisMachine], [{ ...MPI, rank: 1, size: 8 }, 4]);
    assert.equal(launchOf({ ...open, OMPI_COMM_WORLD_LOCAL_RANK: '3' })?.localRank, 3);
    const mpich = launchOf({ PMI_RANK: '3', PMI_SIZE: '4', MPI_LOCALNRANKS: '2' });
    assert.deepEqual([mpich?.options, mpich?.onThisMachine], [{ ...MPI, rank: 3, size: 4 }, 2]);
  });

  it('may be srun: rank 0 is on the first node, and each step has a port and a prefix', () => {
    const env = {
      ...{ SLURM_JOB_ID: '4711', SLURM_STEP_ID: '2', SLURM_STEP_NUM_TASKS: '4', SLURM_PROCID: '3' },
      ...{ SLURM_STEP_NODELIST: 'gpu[07-08]', SLURM_STEP_TASKS_PER_NODE: '2(x2)' },
    };
    const { options, onThisMachine } = launchOf(env) ?? assert.fail('none was found');
    const { port, ...others } = options;
    assert.deepEqual(others, { ...TCP, rank: 3, size: 4, address: 'gpu07', prefix: 'mode-ensemble/4711.2' });
    assert.ok(port >= 15_000 && port < 30_000);
    assert.notEqual(launchOf({ ...env, SLURM_STEP_ID: '3' })?.options.port, port);
    assert.equal(onThisMachine, 2);
    assert.equal(launchOf({ ...env, SLURM_LOCALID: '1' })?.localRank, 1);
  });

  it('that was itself started by another counts first', () => {
    const srun = { SLURM_JOB_ID: '1', SLURM_STEP_ID: '0', SLURM_STEP_NUM_TASKS: '2', SLURM_PROCID: '1' };
    const both = { ...srun, SLURM_STEP_NODELIST: 'a', OMPI_COMM_WORLD_RANK: '5', OMPI_COMM_WORLD_SIZE: '6' };
    assert.equal(launchOf(both)?.options.kind, 'mpi');
  });

  it('that leaves something out or says nonsense is refused by the variable', () => {
    const whole = { RANK: '0', WORLD_SIZE: '2', MASTER_ADDR: 'h', MASTER_PORT: '1' };
    const cases: [Record<string, string | undefined>, RegExp][] = [
      [{ ...whole, MASTER_ADDR: undefined }, /^MASTER_ADDR: expected the host of rank 0/],
      [{ ...whole, MASTER_PORT: undefined }, /^MASTER_PORT: expected a whole number of at least 1, found nothing$/],
      [{ ...whole, RANK: '-1' }, /^RANK: expected a whole number of at least 0, found "-1"$/],
      [{ ...whole, RANK: '2' }, /expected a rank below 2, found 2$/],
      [{ ...whole, WORLD_SIZE: 'two' }, /^WORLD_SIZE: expected a whole number of at least 1, found "two"$/],
    ];
    for (const [env, message] of cases) assert.throws(() => launchOf(env), { code: 'E_CONFIG', message });
  });
});

it('the first host of a list of nodes', () => {
  const cases = {
    node1: 'node1',
    'node1,node2': 'node1',
    'node[07-09,12],b2': 'node07',
    'node[3]': 'node3',
    'rack[1-2]n[01-04]': 'rack1n01',
    'a-b.example.org,c': 'a-b.example.org',
    '': '',
  };
  for (const [list, host] of Object.entries(cases)) assert.equal(firstHost(list), host, list);
});

it('ranks share the cores of their machine', () => {
  const all = threadsOf(undefined);
  const launch = launchOf({ PMI_RANK: '0', PMI_SIZE: '2' });
  assert.ok(all >= 1 && threadsOf(launch) >= 1 && threadsOf(launch) <= Math.max(1, all / 2));
});
