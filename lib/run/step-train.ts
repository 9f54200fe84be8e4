/** A step that trains one mode, or finds one that is there. */
import { canonicalHash } from '../config/canonical.js';
import { ModeEnsembleError } from '../config/errors.js';
import { trainMode } from '../modes/train.js';
import { resolveDevice } from '../native/device.js';
import { launchOf, localOf } from '../ranks/launch.js';
import type { Ranks } from '../ranks/ranks.js';
import type { Step } from './graph.js';
import type { StepKind } from './step-kinds.js';
import { trainArguments } from './train-arguments.js';
import { startTraining } from './training-process.js';
import type { Work } from './work.js';

interface TrainStep extends Step {
  model: number;
  seed: number;
}

export const trainStep: StepKind = {
  async look(work, step) {
    const { model, seed } = step as TrainStep;
    if (work.given(model, seed) !== undefined) {
      const member = await work.member(model, seed);
      return { key: canonicalHash({ given: member?.weightsHash ?? '' }), isDone: true };
    }
    const { key, state } = await work.outlook(model, seed);
    return { key, isDone: state === 'finished' };
  },

  async perform(work, steps) {
    for (const step of steps) await trainOne(work, step as TrainStep);
  },
};

/** @param ranks the processes that train this mode together; without them they are started here where there are to be some */
export async function trainOne(work: Work, { model, seed }: TrainStep, ranks?: Ranks): Promise<void> {
  const { arch, experiment } = work.plan(model);
  const isAlone = work.settings.models.length === 1;
  work.hooks.onStage?.(`train ${isAlone ? '' : `${arch.id} `}seed ${seed}`);
  const wanted = experiment.ranks ?? 1;
  if (!ranks && wanted > 1) await trainInRanks(work, model, seed, wanted);
  else {
    const settings = work.training(model, seed);
    const threads = Math.max(1, Math.floor(settings.threads / (ranks?.size ?? 1)));
    const local = localOf(ranks && launchOf());
    const device = resolveDevice(experiment.device, { addon: work.addon, local });
    await trainMode({ ...settings, device, threads, ranks }, work.hooks);
  }
  work.trained.add(`${arch.id} ${seed}`);
}

/** As the command does it that the processes are started by. */
async function trainInRanks(work: Work, model: number, seed: number, ranks: number): Promise<void> {
  const { arch, experiment } = work.plan(model);
  const { in: own, suite, root, train, transform = {}, skipBadImages, device, threads, workers } = experiment;
  const place = suite === undefined ? { in: own, root } : { suite, data: root };
  const args = trainArguments({
    ...{
      ...place,
      arch: arch.id,
      seed,
      run: work.folder.path,
      train,
      transform,
      allowChange: [],
      skipBadImages,
      device,
    },
    ...{ threads: Math.max(1, Math.floor(threads / ranks)), workers, ranks },
  });
  const { signal, onLog = () => {} } = work.hooks;
  const training = startTraining(args, onLog);
  const stop = () => training.stop();
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const end = await training.done;
    if ('trained' in end) return;
    const { code, message } = end.failure;
    if (signal?.aborted) throw new ModeEnsembleError('E_ABORTED', 'The job was stopped.');
    if (code === 'E_INTERNAL') throw new Error(message);
    throw new ModeEnsembleError(code, message);
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}
