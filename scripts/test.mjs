#!/usr/bin/env node
/**
 * Runs the compiled tests: `npm test`, or `npm test -- metrics setup` for the files whose names contain one of the words.
 * Words that begin with a dash go to Node's test runner. Unit tests run two files at a time, the others one, since those use
 * every core themselves. The runner's closing lines, summed over the groups, come last.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const GROUPS = [
  { name: 'unit', concurrency: 2 },
  { name: 'parity', concurrency: 1 },
  { name: 'e2e', concurrency: 1 },
];
const TOTALS = ['tests', 'suites', 'pass', 'fail', 'cancelled', 'skipped', 'todo', 'duration_ms'];
/** A test that hangs must not hold a machine for hours. */
const TIMEOUT_MS = 25 * 60 * 1000;

const words = process.argv.slice(2);
const passed = words.filter((word) => word.startsWith('-'));
const filters = words.filter((word) => !word.startsWith('-'));

function filesOf(group) {
  const folder = path.join(root, 'dist/test', group);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => path.join('dist/test', group, name))
    .filter(
      (name) => filters.length === 0 || filters.some((filter) => name.slice('dist/test/'.length).includes(filter)),
    )
    .sort();
}

const temporary = mkdtempSync(path.join(os.tmpdir(), 'mode-ensemble-test-'));
const sums = new Map(TOTALS.map((name) => [name, 0]));
let status = 0;
let files = 0;
try {
  for (const { name, concurrency } of GROUPS) {
    const group = filesOf(name);
    if (group.length === 0) continue;
    files += group.length;
    const tap = path.join(temporary, `${name}.tap`);
    const reporters = ['--test-reporter=spec', '--test-reporter-destination=stdout'];
    reporters.push('--test-reporter=tap', `--test-reporter-destination=${tap}`);
    const limits = [`--test-concurrency=${concurrency}`, `--test-timeout=${TIMEOUT_MS}`];
    const args = ['--test', '--enable-source-maps', ...limits, ...reporters, ...passed, ...group];
    const result = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
    if (result.status !== 0) status = result.status ?? 1;
    const text = existsSync(tap) ? readFileSync(tap, 'utf8') : '';
    for (const [, total, count] of text.matchAll(/^# (\w+) ([\d.]+)$/gm)) {
      if (sums.has(total)) sums.set(total, sums.get(total) + Number(count));
    }
    if (result.signal !== null) break;
  }
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
if (files === 0) {
  const where = filters.length === 0 ? 'dist/test' : `the names in dist/test with ${filters.join(' or ')} in them`;
  process.stderr.write(`There is no test in ${where}.\n`);
  status = 1;
}
for (const [name, count] of sums) process.stdout.write(`# ${name} ${Number(count.toFixed(1))}\n`);
process.exitCode = status;
