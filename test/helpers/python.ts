import { spawnSync } from 'node:child_process';

/**
 * A Python that has torch (MODE_ENSEMBLE_PYTHON, else python3), or why there is none: tests that need one are then
 * skipped.
 */
export function pythonWithTorch(): { python: string } | { missing: string } {
  const python = process.env.MODE_ENSEMBLE_PYTHON ?? 'python3';
  const found = spawnSync(python, ['-c', 'import torch'], { stdio: 'ignore' }).status === 0;
  return found ? { python } : { missing: `${python} has no torch; MODE_ENSEMBLE_PYTHON may name another` };
}
