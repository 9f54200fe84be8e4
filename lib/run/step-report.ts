/** The last step: results.csv, results.json, report.html and experiment.json. With several architectures, each has its own as well. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { canonicalHash, type Json } from '../config/canonical.js';
import { writeFileAtomic } from '../config/files.js';
import { VERSION } from '../config/version.js';
import type { DataSet } from '../data/open.js';
import { type KeptEvaluation, readEvaluation } from './evaluation-file.js';
import type { Plan } from './experiment.js';
import { resultsCsv, resultsJson, type SkippedImages, writeResults } from './results.js';
import { writeReport } from './run-report.js';
import { evaluationKey } from './step-evaluate.js';
import type { StepKind } from './step-kinds.js';
import type { Work } from './work.js';

export const reportStep: StepKind = {
  async look(work) {
    const key = await reportKey(work);
    if (key === undefined) return { key, isDone: false };
    return { key, isDone: await isWritten(work, key) };
  },

  async perform(work) {
    const key = (await reportKey(work)) as string;
    const { models } = work.settings;
    const kept: KeptEvaluation[] = [];
    for (const model of models.keys()) kept.push(await readKept(work, model));
    const names = models.length === 1 ? await writeOne(work, kept[0] as KeptEvaluation) : await writeAll(work, kept);
    const files: Record<string, string> = {};
    for (const name of names) files[name] = await sha256(join(work.folder.path, name));
    await writeFileAtomic(recordPath(work), `${JSON.stringify({ key, files }, null, 2)}\n`);
  },
};

/** An architecture's evaluation, which is there. */
export async function readKept(work: Work, model: number): Promise<KeptEvaluation> {
  return readEvaluation(work.folder.steps, (await evaluationKey(work, model)) as string);
}

async function reportKey(work: Work): Promise<string | undefined> {
  const keys: Json[] = [];
  for (const model of work.settings.models.keys()) {
    const key = await evaluationKey(work, model);
    if (key === undefined) return undefined;
    const nothing = { skipped: {}, skippedImages: {} };
    // Through JSON, which leaves out what is undefined.
    const record = await describeRun(work, model, nothing);
    // Where and how it is done is no part of it.
    const { run: _run, cluster: _cluster, ...experiment } = record.experiment;
    keys.push(key, JSON.parse(JSON.stringify({ ...record, experiment })));
  }
  return canonicalHash({ what: 'report', version: VERSION, keys });
}

const recordPath = (work: Work) => join(work.folder.steps, 'report.json');

async function isWritten(work: Work, key: string): Promise<boolean> {
  try {
    const record = JSON.parse(await readFile(recordPath(work), 'utf8'));
    if (record.key !== key) return false;
    for (const [name, hash] of Object.entries(record.files)) {
      if ((await sha256(join(work.folder.path, name))) !== hash) return false;
    }
    return true;
  } catch {
    // Nothing there, or something else: it is made again in a moment.
    return false;
  }
}

async function sha256(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

/** @returns the names of the files */
async function writeOne(work: Work, { evaluation, images }: KeptEvaluation): Promise<string[]> {
  const { folder } = work;
  await writeResults(folder.path, evaluation, images);
  const record = await describeRun(work, 0, images);
  await writeFileAtomic(folder.settings, `${JSON.stringify(record, null, 2)}\n`);
  await writeReport(work.plan(0), folder, evaluation, record);
  return ['results.csv', 'results.json', 'experiment.json', 'report.html'];
}

async function writeAll(work: Work, kept: readonly KeptEvaluation[]): Promise<string[]> {
  const { folder } = work;
  const names = ['results.csv', 'results.json', 'experiment.json'];
  const write = (name: string, text: string) => writeFileAtomic(join(folder.path, name), text);
  await write('results.csv', resultsCsv(kept.flatMap(({ evaluation }) => evaluation.rows)));
  const results: Record<string, unknown> = {};
  const records: Record<string, unknown> = {};
  for (const [model, { evaluation, images }] of kept.entries()) {
    const plan = work.plan(model);
    const { id } = plan.arch;
    const record = await describeRun(work, model, images);
    results[id] = JSON.parse(resultsJson(evaluation, images));
    records[id] = record;
    const report = `report-${id}.html`;
    await writeReport(titled(plan), { ...folder, report: join(folder.path, report) }, evaluation, record);
    names.push(report);
  }
  await write('results.json', `${JSON.stringify({ archs: results }, null, 2)}\n`);
  await write('experiment.json', `${JSON.stringify({ archs: records }, null, 2)}\n`);
  return names;
}

function titled(plan: Plan): Plan {
  return { ...plan, experiment: { ...plan.experiment, name: `${plan.experiment.name}: ${plan.arch.id}` } };
}

/** What experiment.json holds. */
export type RunRecord = Awaited<ReturnType<typeof describeRun>>;

async function describeRun(work: Work, model: number, images: SkippedImages) {
  const plan = work.plan(model);
  const { version, libtorch, cpuCapability, compiler } = work.addon.info();
  const about = ({ count, fingerprint }: DataSet) => ({ count, fingerprint });
  const { train, test, out } = work.sets;
  return {
    experiment: { ...plan.experiment, arch: plan.arch.name, width: plan.arch.width },
    detectors: plan.detectors,
    ensembles: plan.ensembles,
    versions: { 'mode-ensemble': VERSION, addon: version, node: process.versions.node, libtorch, compiler },
    machine: { platform: process.platform, arch: process.arch, cpuCapability },
    data: {
      classes: train.classes,
      in: { name: plan.sets.in.spec.name, train: about(train), test: about(test) },
      out: out.map((set) => ({ name: set.name, ...about(set) })),
      skipped: images.skipped,
    },
    modes: (await work.membersThere(model)).map(({ name, checkpoint, weightsHash }) => ({
      seed: Number(name),
      checkpoint: relative(work.folder.path, checkpoint),
      sha256: weightsHash,
    })),
  };
}
