/** Settings of loss landscapes and curves, shared by the experiment file and the flags. */
import { z } from 'zod';
import { oneOf, positive, whole } from './field-types.js';

const gridText = 'a whole number from 2 to 501';
const imagesText = 'a whole number of at least 1, or all';

export const landscapeFields = {
  /** Points on each axis. */
  grid: whole(2, 501, gridText),
  range: positive(),
  /** Of each set. */
  images: z.union([z.literal('all'), whole(1, Number.MAX_SAFE_INTEGER, imagesText)], { error: imagesText }),
  labels: oneOf(['auto', 'own', 'prediction', 'random', 'uniform']),
  points: whole(3, 10_001, 'a whole number from 3 to 10001'),
  curve: oneOf(['bezier', 'chain']),
  memory: positive(),
} as const;

const namesText = "a list of names of the experiment's OoD sets";

/** The `landscape` section of an experiment: small enough to be an aside. */
export const landscapeSchema = z.strictObject(
  {
    grid: landscapeFields.grid.default(11),
    range: landscapeFields.range.default(1),
    images: landscapeFields.images.default(200),
    labels: landscapeFields.labels.default('auto'),
    /** Default: all of the experiment's. */
    out: z
      .array(z.string({ error: namesText }), { error: namesText })
      .min(1, namesText)
      .optional(),
    seed: whole(0, 2 ** 32 - 1, `a whole number from 0 to ${2 ** 32 - 1}`).default(0),
  },
  { error: 'a mapping of landscape settings' },
);

export type LandscapeSection = z.output<typeof landscapeSchema>;
