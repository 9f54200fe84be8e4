import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { readAddonRecord } from '../../lib/native/load.js';

interface Python {
  command: string;
  env: NodeJS.ProcessEnv;
}

/**
 * A Python that has torch: MODE_ENSEMBLE_PYTHON, else python3 as it is, else python3 with the wheel that set-up took
 * LibTorch from. Undefined where there is none; tests that need it are then skipped.
 */
export function pythonWithTorch(): Python | undefined {
  const named = process.env.MODE_ENSEMBLE_PYTHON;
  const libtorch = readAddonRecord()?.libtorch.path;
  const candidates: Python[] = named
    ? [{ command: named, env: {} }]
    : [
        { command: 'python3', env: {} },
        ...(libtorch ? [{ command: 'python3', env: { PYTHONPATH: dirname(libtorch) } }] : []),
      ];
  return candidates.find((python) => hasModule(python, 'torch'));
}

export function hasModule(python: Python, module: string): boolean {
  return run(python, ['-c', `import ${module}`]).status === 0;
}

/** Runs a script of test/parity and gives what it prints; throws with its words where it fails. */
export function runPython(python: Python, script: string, ...args: string[]): string {
  const { status, stdout, stderr } = run(python, [`test/parity/${script}`, ...args]);
  if (status !== 0) throw new Error(`${script} failed:\n${stderr}`);
  return stdout;
}

function run({ command, env }: Python, args: string[]) {
  const quiet = { PYTHONDONTWRITEBYTECODE: '1', PYTHONWARNINGS: 'ignore' };
  return spawnSync(command, args, { encoding: 'utf8', env: { ...process.env, ...quiet, ...env } });
}
