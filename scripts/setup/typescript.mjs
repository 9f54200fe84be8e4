/** Compiles lib/, test/ and bench/ into dist/. */
import { existsSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { packageFolder } from './npm.mjs';
import { run, SetupError } from './process.mjs';
import { hashInputs, listFiles, readJson, writeJson } from './stamp.mjs';

const STAMP = '.stamp.json';

function inputs(root) {
  const files = listFiles(root, ['lib', 'test', 'bench'], (name) => /\.(ts|mts|cts|json)$/.test(name));
  return hashInputs(root, [...files, 'tsconfig.json', 'package-lock.json']);
}

export function typescriptIsFresh(root) {
  return readJson(path.join(root, 'dist', STAMP))?.inputs === inputs(root);
}

/**
 * Compiles into a folder beside dist and puts it in dist's place, so that nothing stale stays, a failure leaves the last good
 * dist, and an interruption leaves none or a whole one (the stamp is written before the change of places).
 */
export async function compileTypescript(root, { log, onStart }) {
  const hash = inputs(root);
  const next = path.join(root, '.dist-next');
  const last = path.join(root, '.dist-last');
  const dist = path.join(root, 'dist');
  const compiler = packageFolder(root, 'typescript');
  if (compiler === null) throw new SetupError('TypeScript is not installed: run `npm ci` first.');
  rmSync(next, { recursive: true, force: true });
  const args = [path.join(compiler, 'bin/tsc'), '-p', root, '--outDir', next, '--pretty', 'false'];
  const { code, output } = await run(process.execPath, args, { cwd: root, log, onStart });
  if (code !== 0) {
    rmSync(next, { recursive: true, force: true });
    const lines = output.split('\n').filter((line) => line.trim() !== '');
    const errors = lines.filter((line) => /error TS\d+/.test(line)).length;
    throw new SetupError(`TypeScript does not compile: ${errors} error${errors === 1 ? '' : 's'}.`, {
      lines: lines.slice(0, 15),
      log,
    });
  }
  writeJson(path.join(next, STAMP), { inputs: hash });
  rmSync(last, { recursive: true, force: true });
  if (existsSync(dist)) renameSync(dist, last);
  renameSync(next, dist);
  rmSync(last, { recursive: true, force: true });
}
