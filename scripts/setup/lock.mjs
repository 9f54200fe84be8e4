/**
 * One set-up at a time in one checkout. The lock names its owner, and the process group of the tool that is at work,
 * so that a set-up which was killed is followed by one that ends what it left running and goes on from there.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, startMark } from './process.mjs';

const POLL_MS = 200;
/** A lock that is still empty after this long was left by an owner that died between making and filling it. */
const EMPTY_MS = 5000;

export async function acquireLock(file, { onWait } = {}) {
  mkdirSync(path.dirname(file), { recursive: true });
  const own = { pid: process.pid, mark: startMark(process.pid), host: os.hostname(), group: null };
  let waiting = false;
  for (;;) {
    try {
      writeFileSync(file, JSON.stringify(own), { flag: 'wx' });
      return {
        /** Notes (or with null forgets) the process group at work. */
        setGroup(pid) {
          own.group = pid === null ? null : { pid, mark: startMark(pid) };
          writeFileSync(file, JSON.stringify(own));
        },
        release() {
          if (readOwner(file).owner?.pid === process.pid) rmSync(file, { force: true });
        },
      };
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const { text, owner, age } = readOwner(file);
    if (text === null) continue;
    if (isStale(owner, age)) {
      takeAway(file, text);
      if (owner?.group) await endGroup(owner.group);
      continue;
    }
    if (!waiting) onWait?.(owner);
    waiting = true;
    await sleep(POLL_MS);
  }
}

export function isStale(owner, age) {
  if (owner === null) return age > EMPTY_MS;
  // Of a process on another machine nothing can be known: it counts as alive.
  return owner.host === os.hostname() && !isAlive(owner.pid, owner.mark);
}

function readOwner(file) {
  try {
    const text = readFileSync(file, 'utf8');
    const age = Date.now() - statSync(file).mtimeMs;
    try {
      return { text, owner: JSON.parse(text), age };
    } catch {
      return { text, owner: null, age };
    }
  } catch {
    return { text: null, owner: null, age: 0 };
  }
}

/** Removes the stale lock that was read, and puts back one that a quicker set-up has made in its place. */
function takeAway(file, text) {
  const aside = `${file}.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch {
    return;
  }
  if (readFileSync(aside, 'utf8') === text) rmSync(aside);
  else renameSync(aside, file);
}

async function endGroup({ pid, mark }) {
  // A group's id is not given out again while any member lives, so a leader of another age is another group.
  if (isAlive(pid) && mark !== null && startMark(pid) !== mark) return;
  for (const signal of ['SIGTERM', 'SIGTERM', 'SIGKILL']) {
    for (let i = 0; i < 25; i++) {
      try {
        process.kill(-pid, i === 0 ? signal : 0);
      } catch {
        return;
      }
      await sleep(POLL_MS);
    }
  }
}
