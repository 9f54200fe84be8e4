/** A run's place on a cluster: what its jobs are called, where they meet, how one of them is begun. */
import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventsOf, readOutcomes } from '../cluster/outcome-files.js';
import { outcomesIn, type SlurmPlace } from '../cluster/slurm.js';
import type { ClusterSettings } from '../config/cluster.js';
import type { Experiment } from '../config/schema.js';
import type { RunFolder } from './folder.js';
import type { Step } from './graph.js';
import type { Journal } from './journal.js';
import { shapeOf } from './step-kinds.js';
import type { Work } from './work.js';

const PROGRAM = fileURLToPath(new URL('../../../bin/mode-ensemble.js', import.meta.url));

export function slurmFolder(folder: RunFolder): string {
  return resolve(folder.steps, 'slurm');
}

export function slurmPlace(work: Work, experiment: Experiment, settings: ClusterSettings, where: string): SlurmPlace {
  const run = resolve(work.folder.path);
  const hash = createHash('sha256').update(run).digest('hex').slice(0, 8);
  return {
    folder: slurmFolder(work.folder),
    settings,
    shapeOf: (task) => shapeOf(work, task as Step),
    command: [process.execPath, PROGRAM, 'step'],
    // A job must do what this process was asked for, whatever becomes of the file.
    content: { where, experiment },
    id: `mode-ensemble-${hash}`,
    onLog: (message) => work.hooks.onLog?.({ type: 'log', level: 'info', message }),
    onQueue: (waiting, running) => {
      const message = `in the queue: ${running} at work, ${waiting} waiting`;
      work.hooks.onLog?.({ type: 'log', level: 'info', message });
    },
  };
}

/** What jobs have done while nobody followed them. */
export function enterOutcomes(journal: Journal, folder: RunFolder): void {
  const known = new Set(journal.all.flatMap(({ from }) => from ?? []));
  for (const [name, outcome] of readOutcomes(outcomesIn(slurmFolder(folder)))) {
    if (!known.has(name)) for (const event of eventsOf(name, outcome)) journal.write(event);
  }
}

/** The file of an array of steps, and the step at a place of it. */
export function outcomesFolder(file: string): string {
  return outcomesIn(join(file, '..'));
}
