/** The last step: the results' files, the report, and experiment.json. With several architectures, each has its own as well. */
import { readFile, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { canonicalHash, type Json } from '../config/canonical.js';
import { writeFileAtomic } from '../config/files.js';
import { makeWritableFolder } from '../config/folders.js';
import { VERSION } from '../config/version.js';
import type { DataSet } from '../data/open.js';
import { curvesOf } from '../report/index.js';
import { curvesJson, sha256 } from './curves-file.js';
import { type KeptEvaluation, readEvaluation } from './evaluation-file.js';
import { isRecorded, writeRecord } from './record.js';
import { resultsCsv, resultsJson, type SkippedImages, writeResults } from './results.js';
import { type ReportFiles, reportRun } from './run-report.js';
import { evaluationKey } from './step-evaluate.js';
import type { StepKind } from './step-kinds.js';
import type { Work } from './work.js';

export const reportStep: StepKind = {
  async look(work) {
    const key = await reportKey(work);
    if (key === undefined) return { key, isDone: false };
    return { key, isDone: await isRecorded(recordPath(work), key, work.folder.path) };
  },

  async perform(work) {
    const key = (await reportKey(work)) as string;
    const { models } = work.settings;
    const kept: KeptEvaluation[] = [];
    for (const model of models.keys()) kept.push(await readKept(work, model));
    const paths: string[] = [];
    for (const [model, one] of kept.entries()) paths.push(...(await writeOne(work, model, one)));
    if (models.length > 1) paths.push(...(await writeAll(work, kept)));
    const names = paths.map((path) => relative(work.folder.path, path));
    await writeRecord(recordPath(work), key, work.folder.path, names);
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
    keys.push(key, JSON.parse(JSON.stringify({ ...record, experiment })), await pictures(work.place(model)));
  }
  return canonicalHash({ what: 'report', version: VERSION, keys });
}

const recordPath = (work: Work) => join(work.folder.steps, 'report.json');

/** What of the pictures that are in the folder the report shows, by their index. */
async function pictures(folder: string): Promise<Json> {
  const hashes: (string | null)[] = [];
  for (const name of ['landscape', 'connect']) {
    const text = await readFile(join(folder, name, `${name}.json`)).catch(() => undefined);
    hashes.push(text ? sha256(text) : null);
  }
  return hashes;
}

/** Results, curves, record and report of one architecture. @returns the paths */
async function writeOne(work: Work, model: number, { evaluation, images }: KeptEvaluation): Promise<string[]> {
  const folder = work.place(model);
  await makeWritableFolder(folder);
  const { csv, json, text } = await writeResults(folder, evaluation, images);
  const [curves, settings] = ['curves.json', 'experiment.json'].map((name) => join(folder, name)) as [string, string];
  await writeFileAtomic(curves, curvesJson(curvesOf(evaluation), text));
  const record = await describeRun(work, model, images);
  const { id } = work.plan(model).arch;
  const isAlone = work.settings.models.length === 1;
  const name = isAlone ? record.experiment.name : `${record.experiment.name}: ${id}`;
  const own = { ...record, experiment: { ...record.experiment, name } };
  await writeFileAtomic(settings, `${JSON.stringify(own, null, 2)}\n`);
  return [csv, json, curves, settings, ...pathsOf(await reportRun(folder))];
}

function pathsOf({ html, markdown, latex, figures }: ReportFiles): string[] {
  return [html, markdown, latex, ...figures];
}

/** What an earlier run of one architecture alone has left in the place of all. */
const OF_ONE = ['curves.json', 'report.html', 'report.md', 'report.tex'];

/** Results and record of all architectures. @returns the paths */
async function writeAll(work: Work, kept: readonly KeptEvaluation[]): Promise<string[]> {
  const { path: folder } = work.folder;
  const results: Record<string, unknown> = {};
  const records: Record<string, unknown> = {};
  for (const [model, { evaluation, images }] of kept.entries()) {
    const { id } = work.plan(model).arch;
    results[id] = JSON.parse(resultsJson(evaluation, images));
    records[id] = await describeRun(work, model, images);
  }
  const texts = {
    'results.csv': resultsCsv(kept.flatMap(({ evaluation }) => evaluation.rows)),
    'results.json': `${JSON.stringify({ archs: results }, null, 2)}\n`,
    'experiment.json': `${JSON.stringify({ archs: records }, null, 2)}\n`,
  };
  for (const [name, text] of Object.entries(texts)) await writeFileAtomic(join(folder, name), text);
  for (const name of OF_ONE) await rm(join(folder, name), { force: true });
  return Object.keys(texts).map((name) => join(folder, name));
}

/** What experiment.json holds. */
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
      checkpoint: relative(work.place(model), checkpoint),
      sha256: weightsHash,
    })),
  };
}
