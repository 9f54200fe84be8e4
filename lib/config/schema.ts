/**
 * The experiment file's schema and defaults. Every message here is the text after "expected": the sentence around it
 * (file, field, what was found) is made in check.ts, for the file's fields and the command line's flags alike.
 */
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { clusterSchema } from './cluster.js';
import { count, flag, oneOf, whole } from './field-types.js';
import { landscapeFields, landscapeSchema } from './landscape-schema.js';
import { givenTrainSchema, savingFields, trainFields, trainSchema } from './recipes.js';

export { RECIPES, type TrainSettings, trainSchema } from './recipes.js';

const MAX_SEED = 2 ** 32 - 1;

function name(text: string) {
  return z.string({ error: text }).trim().min(1, text);
}

const seed = whole(0, MAX_SEED, `a whole number from 0 to ${MAX_SEED}`);

/** Refuses a list in which a value stands twice, and names the value. */
function distinct(what: string) {
  return (values: (number | string)[], context: z.RefinementCtx) => {
    const twice = values.find((value, index) => values.indexOf(value) !== index);
    if (twice !== undefined) {
      context.addIssue({ code: 'custom', message: `${what} ${twice} is given twice`, params: { isSentence: true } });
    }
  };
}

function seedList(least: number) {
  const text = `a list of at least ${least === 1 ? 'one seed' : `${least} seeds`}`;
  return z.array(seed, { error: text }).min(least, text).superRefine(distinct('seed'));
}

const deviceText = 'auto, cpu, cuda or cuda:N';
const sizeText = 'a whole number of at least 2, or all';
const resamplesText = 'a number of resamples from 10 to 100000';
const levelText = 'a number between 0 and 1';
const intervalsText = 'a number of resamples such as 1000, or {resamples: N, level: 0.95, seed: N}';
const ensemblesText = 'all, {size: N}, {size: all}, or lists of seeds such as [[1000, 1100], [1000, 1200]]';
const detectorText = 'the name of a detector, or its name with parameters such as {knn: {k: 50}}';
const number = z.number({ error: 'a number' });

const detector = z.union(
  [
    z.string(),
    z
      .record(
        z.string(),
        z.record(z.string(), z.union([number, z.string()], { error: 'a number or a word' })).nullable(),
      )
      .refine((value) => Object.keys(value).length === 1, detectorText),
  ],
  { error: detectorText },
);

const tripleText = 'three numbers, one for each of red, green and blue';
const spreadText = 'three numbers above 0, one for each of red, green and blue';

function triple(text: string, least?: number) {
  const item = z.number({ error: text });
  const numbers = least === undefined ? item : item.gt(least, text);
  return z.tuple([numbers, numbers, numbers], { error: text });
}

/**
 * A network is open for as long as an image is at hand, so that memory grows with the modes up to here, and decoding, which is a
 * small part of so many passes, is done again for more of them.
 */
export const MODES_AT_ONCE = 16;

/**
 * MiB that training features may take which kNN searches at a time, with their codes: 200,000 of width 2048 come in two parts,
 * and with 10,000 queries stay below 2 GiB.
 */
export const SEARCH_MEMORY = 1536;

/** The checks of single fields, shared by the file and the flags. */
export const fields = {
  ...trainFields,
  ...savingFields,
  ...landscapeFields,
  ranks: count(),
  parallel: count(),
  seed,
  seeds: seedList(1),
  width: count(),
  /** Of an evaluation. */
  inPrecision: oneOf(['float32', 'float32-plain', 'tf32', 'bfloat16', 'float16']),
  device: z.string().regex(/^(auto|cpu|cuda(:\d{1,3})?)$/, deviceText),
  storage: z.enum(['float32', 'float16'], { error: 'float32 or float16' }),
  threads: whole(1, 4096, 'a whole number from 1 to 4096'),
  workers: whole(1, 4096, 'a whole number from 1 to 4096'),
  modesAtOnce: count(),
  searchMemory: whole(1, 1 << 24, 'a whole number of MiB from 1 to 16777216'),
  k: count(),
  ensembleSize: z.union([whole(2, Number.MAX_SAFE_INTEGER, sizeText), z.literal('all')], { error: sizeText }),
  convention: z.enum(['reference', 'knn', 'openood'], { error: 'reference, knn or openood' }),
  resamples: whole(10, 100_000, resamplesText),
  intervalLevel: z.number({ error: levelText }).gt(0, levelText).lt(1, levelText),
  intervalSeed: seed,
  fusion: z.enum(['paper', 'scores', 'standardised', 'softmax'], { error: 'paper, scores, standardised or softmax' }),
  classes: whole(1, 1_000_000, 'a whole number from 1 to 1000000'),
  resize: whole(1, 4096, 'a whole number from 1 to 4096'),
  fit: z.enum(['both', 'short'], { error: 'both or short' }),
  filter: z.enum(['bilinear', 'bicubic'], { error: 'bilinear or bicubic' }),
  crop: whole(1, 4096, 'a whole number from 1 to 4096'),
  mean: triple(tripleText),
  std: triple(spreadText, 0),
} as const;

/** What is to differ from the preprocessing that travels with the architecture or the checkpoint. */
export const transformSchema = z.strictObject(
  {
    resize: fields.resize.optional(),
    fit: fields.fit.optional(),
    filter: fields.filter.optional(),
    crop: fields.crop.optional(),
    mean: fields.mean.optional(),
    std: fields.std.optional(),
  },
  { error: 'a mapping of preprocessing settings' },
);

/** A bootstrap over images: how many resamples, or that and more. */
const intervals = z
  .union(
    [
      fields.resamples,
      z.strictObject({
        resamples: fields.resamples.default(1000),
        level: fields.intervalLevel.default(0.95),
        seed: fields.intervalSeed.default(0),
      }),
    ],
    { error: intervalsText },
  )
  .transform((value) => (typeof value === 'number' ? { resamples: value, level: 0.95, seed: 0 } : value));

const detectorList = z.array(detector, { error: 'a list of detectors' }).min(1, 'a list of at least one detector');

const memberLists = z.array(seedList(2), { error: ensemblesText }).min(1, ensemblesText);

const ensembleWish = z.union(
  [z.literal('all'), z.strictObject({ size: fields.ensembleSize, lists: memberLists.optional() }), memberLists],
  { error: ensemblesText },
);

export const evaluateSchema = z.strictObject(
  {
    batchSize: fields.batchSize.default(256),
    precision: fields.inPrecision.default('float32'),
    /** The type in which features are stored; logits are float32. */
    storage: fields.storage.default('float32'),
    detectors: detectorList.default(['msp', 'energy', 'knn']),
    ensembles: ensembleWish.default('all'),
    /** How FPR95 and AUPR are read off the scores. */
    convention: fields.convention.default('reference'),
    /** Where it is not given: no intervals. */
    intervals: intervals.optional(),
    /** How the members of an ensemble are brought together; `paper` is each detector's own rule. */
    fusion: fields.fusion.default('paper'),
  },
  { error: 'a mapping of evaluation settings' },
);

const specText = 'a data set such as cifar10:DIR, folder:DIR or builtin:shapes';
const suiteText = 'the name of a suite such as cifar10';
const outText = 'a list of at least one OoD data set such as SVHN=folder:DIR';

const archText = 'the name of an architecture, for instance cifar-resnet18';
const patternText = 'a path with {seed} in it, such as save/CIFAR10/{arch}/seed-{seed}/epoch150.pth';

/** Where modes are that somebody else has trained; `{arch}` is the architecture as it is written here. */
const checkpoints = name(patternText).refine((text) => text.includes('{seed}'), patternText);

/** One architecture of several, and what differs for it from the rest of the file. */
const modelSchema = z.strictObject(
  {
    arch: name(archText),
    width: fields.width.optional(),
    seeds: fields.seeds.optional(),
    transform: transformSchema.optional(),
    checkpoints: checkpoints.optional(),
    /** With another recipe than the experiment's, all else is that recipe's. */
    train: givenTrainSchema.optional(),
    evaluate: z
      .strictObject(
        {
          batchSize: fields.batchSize.optional(),
          precision: fields.inPrecision.optional(),
          storage: fields.storage.optional(),
          detectors: detectorList.optional(),
          ensembles: ensembleWish.optional(),
        },
        { error: 'a mapping of evaluation settings' },
      )
      .optional(),
  },
  { error: 'an architecture and what differs for it' },
);

/** The experiment file. `name` and `run` have defaults made from the file's name. */
export const experimentSchema = z.strictObject(
  {
    name: name('a title').optional(),
    run: name('a folder').optional(),
    root: name('a folder').default('.'),
    /** A suite, whose sets lie in `root`; or `in` and `out`. With a suite, `out` names further OoD sets. */
    suite: name(suiteText).optional(),
    in: name(specText).optional(),
    out: z.array(name(specText), { error: outText }).min(1, outText).optional(),
    /** One architecture, or several; or `models`. */
    arch: z
      .union([name(archText), z.array(name(archText), { error: archText }).min(1, archText)], { error: archText })
      .optional(),
    models: z
      .array(modelSchema, { error: 'a list of architectures' })
      .min(1, 'a list of at least one architecture')
      .optional(),
    width: fields.width.optional(),
    transform: transformSchema.optional(),
    seeds: fields.seeds,
    /** A mode that lies there is taken instead of being trained. */
    checkpoints: checkpoints.optional(),
    train: trainSchema.prefault({}),
    /** Processes that train one network together. */
    ranks: count().optional(),
    evaluate: evaluateSchema.prefault({}),
    /** Where it is not given, none is made. */
    landscape: landscapeSchema.optional(),
    skipBadImages: flag().default(false),
    /** Where the networks compute: `auto` is a GPU where one can be used. */
    device: fields.device.default('auto'),
    threads: fields.threads.default(() => availableParallelism()),
    workers: fields.workers.default(2),
    /** Networks that are open together while images go through them; more read the images again. */
    modesAtOnce: fields.modesAtOnce.default(MODES_AT_ONCE),
    /** MiB of training features that kNN searches at a time. */
    searchMemory: fields.searchMemory.default(SEARCH_MEMORY),
    cluster: clusterSchema.optional(),
  },
  { error: 'a mapping of settings' },
);

/** What an experiment without a suite must say; in the words of the fields above. */
export const setsSchema = z.object({ in: name(specText), out: z.array(z.string(), { error: outText }) });

/** What an experiment without `models` must say. */
export const archSchema = z.object({ arch: z.any().refine((value) => value !== undefined, archText) });

export type TransformSettings = z.output<typeof transformSchema>;
export type EvaluateSettings = z.output<typeof evaluateSchema>;

/** An experiment with every default filled in. */
export type Experiment = Omit<z.output<typeof experimentSchema>, 'name' | 'run'> & { name: string; run: string };
/** An experiment of one architecture, see expandModels. */
export type ModelExperiment = Omit<Experiment, 'arch' | 'models'> & { arch: string };
/** What an experiment file holds: everything with a default may be left out. */
export type ExperimentInput = z.input<typeof experimentSchema>;
