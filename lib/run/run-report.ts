import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writeFileAtomic } from '../config/files.js';
import { type EpochPoint, type ModeEpochs, renderReport } from '../report/index.js';
import type { Plan } from './experiment.js';
import type { RunFolder } from './folder.js';
import type { RunRecord } from './step-report.js';
import type { Evaluation } from './types.js';

/** Writes report.html. @throws ModeEnsembleError E_IO */
export async function writeReport(
  plan: Plan,
  folder: RunFolder,
  evaluation: Evaluation,
  record: RunRecord,
): Promise<void> {
  const { experiment, versions, machine, data } = record;
  const { in: inData, out } = data;
  const epochs: ModeEpochs[] = [];
  for (const { seed, checkpoint } of record.modes) {
    const log = join(folder.path, dirname(checkpoint), 'log.jsonl');
    epochs.push({ mode: String(seed), epochs: await readLog(log) });
  }
  const page = await renderReport({
    evaluation,
    title: plan.experiment.name,
    settings: experiment,
    environment: { ...versions, ...machine, data: { in: inData, out } },
    epochs,
  });
  await writeFileAtomic(folder.report, page);
}

/** The epochs of a training; none where the log is gone, since the report is whole without it. */
async function readLog(file: string): Promise<EpochPoint[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .flatMap((line) => {
      try {
        // Lines of versions before the reports of steps have no type.
        const { type = 'epoch', ...point } = JSON.parse(line) as EpochPoint & { type?: string };
        return type === 'epoch' ? [point] : [];
      } catch {
        return [];
      }
    });
}
