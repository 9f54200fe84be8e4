/** npm packages: node_modules as package-lock.json says. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { run, SetupError, toolEnvironment, which } from './process.mjs';
import { hashInputs, readJson, writeJson } from './stamp.mjs';

const STAMP = 'node_modules/.mode-ensemble.json';

function lockHash(root) {
  return hashInputs(root, ['package-lock.json']);
}

export function npmIsFresh(root) {
  return readJson(path.join(root, STAMP))?.lock === lockHash(root);
}

/** Whether npm's own record of node_modules holds every package of package-lock.json that is not optional. */
export function matchesLock(lock, installed) {
  if (lock?.packages === undefined || installed?.packages === undefined) return false;
  return Object.entries(lock.packages).every(([name, entry]) => {
    if (name === '' || entry.optional === true || entry.devOptional === true || entry.peer === true) return true;
    const there = installed.packages[name];
    return there !== undefined && there.version === entry.version && there.integrity === entry.integrity;
  });
}

/** Brings node_modules up to date; an npm install by hand that left the same packages is taken as it is. */
export async function npmInstall(root, { force, log, onStart }) {
  const lock = readJson(path.join(root, 'package-lock.json'));
  const installed = readJson(path.join(root, 'node_modules/.package-lock.json'));
  if (!force && matchesLock(lock, installed)) {
    writeJson(path.join(root, STAMP), { lock: lockHash(root) });
    return 'as package-lock.json says';
  }
  // NODE_ENV=production would leave out the compiler of TypeScript.
  const args = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund'];
  const cli = process.env.npm_execpath;
  const ours = cli !== undefined && path.basename(cli) === 'npm-cli.js' && existsSync(cli);
  const npm = ours ? process.execPath : which('npm');
  if (npm === null) throw new SetupError('npm is not on this machine: install Node.js with npm (https://nodejs.org).');
  const options = { cwd: root, env: toolEnvironment(), log, onStart };
  const { code, output } = await run(npm, ours ? [cli, ...args] : args, options);
  if (code !== 0) {
    const lines = output.split('\n').filter((line) => /^npm (error|ERR!)/.test(line));
    throw new SetupError(
      'npm ci failed: check that this machine reaches the npm registry and that package-lock.json is in step with package.json.',
      { lines: lines.slice(0, 8), log },
    );
  }
  writeJson(path.join(root, STAMP), { lock: lockHash(root) });
  return 'installed';
}

/** Folder of a package as Node finds it from the project, hoisted or not; null where it is not there. */
export function packageFolder(root, name) {
  try {
    return path.dirname(createRequire(path.join(root, 'package.json')).resolve(`${name}/package.json`));
  } catch {
    return null;
  }
}
