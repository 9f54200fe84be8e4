#!/usr/bin/env node
/** Formats the C++ under native/ and test/fuzz/ in place; with --check, says which files are not formatted and exits 1. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageFolder } from './setup/npm.mjs';
import { listFiles } from './setup/stamp.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const check = process.argv.includes('--check');
const folder = packageFolder(root, 'clang-format-node');
const files = listFiles(root, ['native', 'test/fuzz'], (name) => /\.(cc|h|cu|cuh)$/.test(name));
if (folder === null) {
  process.stderr.write('clang-format is not installed: run `npm run setup` first.\n');
  process.exitCode = 1;
} else if (files.length > 0) {
  const mode = check ? ['--dry-run', '-Werror', '--ferror-limit=1'] : ['-i'];
  const args = [path.join(folder, 'build/cli.js'), ...mode, ...files];
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 });
  const unformatted = [...stderr.matchAll(/^(\S+?):\d+:\d+: error: code should be clang-formatted/gm)].map(
    ([, file]) => file,
  );
  if (unformatted.length > 0) {
    process.stderr.write(`Not formatted (run \`npm run format\`):\n  ${[...new Set(unformatted)].join('\n  ')}\n`);
  } else process.stderr.write(stderr);
  process.exitCode = status ?? 1;
}
