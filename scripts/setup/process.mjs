/**
 * Child processes of set-up. Each runs in its own process group, so that ending set-up ends everything it started
 * (cmake-js → cmake → ninja → compilers), and writes into a log instead of onto the terminal.
 */
import { spawn } from 'node:child_process';
import { accessSync, closeSync, constants, mkdirSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';

/** A failure that set-up can explain: `message` is for a person; `lines` are the first lines of a tool's own words. */
export class SetupError extends Error {
  constructor(message, { lines = [], log } = {}) {
    super(message);
    this.name = 'SetupError';
    this.lines = lines;
    this.log = log;
  }
}

const groups = new Set();

/** Signals every process group that this set-up has started and that still runs. */
export function endChildren(signal = 'SIGTERM') {
  for (const pid of groups) {
    try {
      process.kill(-pid, signal);
    } catch {
      // it has just ended by itself
    }
  }
}

/** Full path of an executable as a shell would find it, or null. */
export function which(name, searchPath = process.env.PATH ?? '') {
  if (name.includes('/')) return isExecutable(name) ? path.resolve(name) : null;
  for (const folder of searchPath.split(path.delimiter)) {
    if (folder === '') continue;
    const file = path.join(folder, name);
    if (isExecutable(file)) return file;
  }
  return null;
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** The environment for tools: make's own variables (set under node-gyp) would make nested builds look for its job server. */
export function toolEnvironment(extra = {}) {
  const env = { ...process.env, ...extra };
  for (const name of ['MAKEFLAGS', 'MFLAGS', 'MAKELEVEL', 'TORCH_INSTALL_PREFIX']) delete env[name];
  return env;
}

/**
 * Runs a command to its end and never rejects: `code` is null where it was ended by a signal or could not start
 * (`missing` tells the latter). `output` holds stdout and stderr in order of arrival; with `log` they go to that file too.
 */
export function run(command, args, { cwd, env, log, onLine, onStart, timeout } = {}) {
  return new Promise((resolve) => {
    const chunks = [];
    let descriptor;
    if (log !== undefined) {
      mkdirSync(path.dirname(log), { recursive: true });
      descriptor = openSync(log, 'a');
      writeSync(descriptor, `\n$ ${[command, ...args].join(' ')}\n`);
    }
    const child = spawn(command, args, {
      cwd,
      env: env ?? toolEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let rest = '';
    const take = (chunk) => {
      chunks.push(chunk);
      if (descriptor !== undefined) writeSync(descriptor, chunk);
      if (onLine === undefined) return;
      const lines = (rest + chunk.toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) onLine(line);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    let timer;
    let timedOut = false;
    if (child.pid !== undefined) {
      groups.add(child.pid);
      onStart?.(child.pid);
      if (timeout !== undefined) {
        timer = setTimeout(() => {
          timedOut = true;
          try {
            process.kill(-child.pid, 'SIGKILL');
          } catch {
            // ended in the meantime
          }
        }, timeout);
      }
    }
    let settled = false;
    const finish = (code, signal, error) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      if (child.pid !== undefined) groups.delete(child.pid);
      if (descriptor !== undefined) closeSync(descriptor);
      const output = Buffer.concat(chunks).toString('utf8');
      resolve({ code, signal, output, timedOut, missing: error?.code === 'ENOENT', error });
    };
    child.on('error', (error) => finish(null, null, error));
    child.on('close', (code, signal) => finish(code, signal));
  });
}

/** A mark that tells a process from a later one with the same id; null where the system does not say. */
export function startMark(pid) {
  try {
    // Field 22 of /proc/PID/stat, counted after the command name, which may hold spaces and brackets.
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

export function isAlive(pid, mark = null) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
  return mark === null || startMark(pid) === mark;
}
