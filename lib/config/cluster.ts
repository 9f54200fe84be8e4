/** Where the steps of a run are done: here, or as jobs of a cluster. None of it shapes a result. */
import { z } from 'zod';
import { atLeast0, count, whole } from './field-types.js';

const timeText = 'a time as Slurm takes it, such as 90, 12:00:00 or 2-00:00:00';
const memoryText = 'an amount of memory such as 32G';
const wordText = 'a word';

function word(text: string) {
  return z
    .union([z.string({ error: text }), z.number({ error: text })], { error: text })
    .transform(String)
    .pipe(z.string().regex(/^[^\s'"\\$`]+$/, text));
}

/** The checks of single fields, shared by the file and the flags. */
export const clusterFields = {
  executor: z.enum(['local', 'slurm'], { error: 'local or slurm' }),
  partition: word(wordText),
  account: word(wordText),
  qos: word(wordText),
  gpus: whole(0, 1024, 'a whole number from 0 to 1024'),
  time: word(timeText).pipe(z.string().regex(/^(\d+-)?\d+(:\d+){0,2}$/, timeText)),
  memory: word(memoryText).pipe(z.string().regex(/^\d+[KMGT]?$/i, memoryText)),
  pollSeconds: z.number({ error: 'a number above 0' }).gt(0, 'a number above 0'),
  lateSeconds: atLeast0(),
  attempts: count(),
} as const;

/** What one step asks the cluster for. */
const resources = {
  partition: clusterFields.partition.optional(),
  account: clusterFields.account.optional(),
  qos: clusterFields.qos.optional(),
  gpus: clusterFields.gpus.optional(),
  time: clusterFields.time.optional(),
  memory: clusterFields.memory.optional(),
  /** Further options of sbatch, as they are, for instance `--constraint=a100`. */
  options: z
    .array(z.string().regex(/^--[a-z][^\n]*$/, 'an option such as --constraint=a100'), { error: 'a list of options' })
    .optional(),
};

const ofKind = z.strictObject(resources, { error: 'a mapping of what such steps ask for' }).optional();

export const clusterSchema = z.strictObject(
  {
    executor: clusterFields.executor.default('local'),
    ...resources,
    /** What differs for the steps of one kind. */
    train: ofKind,
    extract: ofKind,
    fit: ofKind,
    evaluate: ofKind,
    landscape: ofKind,
    report: ofKind,
    /** Seconds between two looks at the queue. */
    pollSeconds: clusterFields.pollSeconds.default(10),
    /** So long a shared disk may take to show a file that another machine has written. */
    lateSeconds: clusterFields.lateSeconds.default(60),
    /** So often a job is handed in that ran out of time, or whose node was lost. */
    attempts: clusterFields.attempts.default(3),
  },
  { error: 'a mapping of cluster settings' },
);

export type ClusterSettings = z.output<typeof clusterSchema>;
/** What one step asks for. */
export type Resources = { [Name in keyof typeof resources]?: z.output<(typeof resources)[Name]> };
