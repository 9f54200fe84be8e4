/** One row a kind of step: what its result depends on, whether it is there, and how it is made. */
import type { Step, StepKindName } from './graph.js';
import { evaluateStep } from './step-evaluate.js';
import { extractStep } from './step-extract.js';
import { fitStep } from './step-fit.js';
import { landscapeStep } from './step-landscape.js';
import { reportStep } from './step-report.js';
import { trainStep } from './step-train.js';
import type { Work } from './work.js';

/** Where a step is. */
export interface StepOutlook {
  /** SHA-256 of all that the result depends on; undefined while that is not known, as what it needs is not there. */
  key: string | undefined;
  isDone: boolean;
}

/** What a step asks of a machine: processes, and threads of each. */
export interface StepShape {
  ranks: number;
  threads: number;
}

export interface StepKind {
  /** @throws ConfigError where the result of other settings is in the way */
  look(work: Work, step: Step): Promise<StepOutlook>;
  /**
   * Makes the results.
   *
   * @param steps of one group, or one alone
   * @throws ModeEnsembleError; what was finished before stays
   */
  perform(work: Work, steps: readonly Step[]): Promise<void>;
}

export const KINDS: Readonly<Record<StepKindName, StepKind>> = {
  train: trainStep,
  extract: extractStep,
  fit: fitStep,
  evaluate: evaluateStep,
  landscape: landscapeStep,
  report: reportStep,
};

export function lookAt(work: Work, step: Step): Promise<StepOutlook> {
  return KINDS[step.kind].look(work, step);
}

export function shapeOf(work: Work, { kind, model = 0 }: Step): StepShape {
  const { threads, ranks = 1 } = work.plan(model).experiment;
  return kind === 'train' && ranks > 1
    ? { ranks, threads: Math.max(1, Math.floor(threads / ranks)) }
    : { ranks: 1, threads };
}
