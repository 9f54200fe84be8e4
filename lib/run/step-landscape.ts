/** A step that computes the loss landscapes of one architecture's modes. */
import { join, relative } from 'node:path';
import { canonicalHash } from '../config/canonical.js';
import type { LandscapeSection } from '../config/landscape-schema.js';
import { VERSION } from '../config/version.js';
import { archOptions } from '../modes/arch.js';
import type { Step } from './graph.js';
import { isRecorded, writeRecord } from './record.js';
import { landscapeOfRun } from './run-landscape.js';
import type { StepKind } from './step-kinds.js';
import type { Work } from './work.js';

export const landscapeStep: StepKind = {
  async look(work, { model = 0 }) {
    const key = await landscapeKey(work, model);
    if (key === undefined) return { key, isDone: false };
    return { key, isDone: await isRecorded(recordPath(work, model), key, work.folder.path) };
  },

  async perform(work, steps) {
    for (const step of steps) await makeOne(work, step);
  },
};

/** Undefined while a mode is not there. */
async function landscapeKey(work: Work, model: number): Promise<string | undefined> {
  const { experiment } = work.plan(model);
  const members = await work.membersThere(model);
  if (members.length < experiment.seeds.length) return undefined;
  const { test, out } = work.sets;
  const key = {
    ...{ what: 'landscape', version: VERSION, section: experiment.landscape },
    modes: members.map(({ name, weightsHash, arch, classes, transform }) => ({
      ...{ name, weightsHash, transform, arch: archOptions(arch, classes) },
    })),
    sets: [test, ...out].map(({ name, fingerprint }) => ({ name, fingerprint })),
  };
  // Through JSON, which leaves out what is undefined.
  return canonicalHash(JSON.parse(JSON.stringify(key)));
}

function recordPath(work: Work, model: number): string {
  return join(work.folder.steps, `landscape-${work.plan(model).arch.id}.json`);
}

async function makeOne(work: Work, { id, model = 0 }: Step): Promise<void> {
  const plan = work.plan(model);
  const key = (await landscapeKey(work, model)) as string;
  const { test, out } = work.sets;
  const made = { members: await work.membersThere(model), test, out, folder: work.place(model), addon: work.addon };
  const isAlone = work.settings.models.length === 1;
  const { onStage } = work.hooks;
  const hooks = { ...work.hooks, onStage: isAlone ? onStage : () => onStage?.(id) };
  const { files } = await landscapeOfRun(plan, plan.experiment.landscape as LandscapeSection, made, hooks);
  // The index also holds what the commands have left in the folder.
  const own = files.filter((file) => !file.endsWith('.json')).map((file) => relative(work.folder.path, file));
  await writeRecord(recordPath(work, model), key, work.folder.path, own);
}
