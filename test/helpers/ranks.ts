import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { addonPath } from '../../lib/native/load.js';

/** Whether the addon was built with an MPI, and its launcher is at hand. */
export function hasMpi(): boolean {
  const isBuilt = existsSync(addonPath().replace(/mode_ensemble\.node$/, 'mode_ensemble_mpi.so'));
  return isBuilt && spawnSync('mpirun', ['--version']).status === 0;
}

/** Open MPI runs neither as root nor on fewer cores than ranks where it is not told to. */
export const MPI_ENV = {
  ...process.env,
  OMPI_ALLOW_RUN_AS_ROOT: '1',
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
  OMPI_MCA_rmaps_base_oversubscribe: '1',
};
