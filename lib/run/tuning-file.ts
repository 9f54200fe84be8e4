/** Tuned parameters of the Mahalanobis detector on disk: one JSON file of records, each for the modes that its key names. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { canonicalHash, firstDifference, type Json } from '../config/canonical.js';
import { check } from '../config/check.js';
import { describe } from '../config/describe.js';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { ioError, writeFileAtomic } from '../config/files.js';
import type { TuningRecord } from '../detectors/index.js';
import { joinMembers } from '../ensemble/index.js';
import type { FeatureStore } from '../features/store.js';

const FORMAT = 'mode-ensemble mahalanobis tuning';
const VERSION = 1;
/** A record takes about 3 kB; there may be thousands of ensembles. */
const MAX_BYTES = 64 << 20;

const number = z.number({ error: 'a number' });
const fraction = number.min(0, 'a number from 0 to 1').max(1, 'a number from 0 to 1');
const images = z.int({ error: 'a whole number above 0' }).positive('a whole number above 0');
const text = z.string({ error: 'a text' });
/** As deep as a source is, and no deeper: what is deeply nested cannot exhaust the stack. */
const plain = z.union([text, number]);
const sourceValue = z.union([plain, z.array(plain), z.record(z.string(), z.union([plain, z.array(plain)]))], {
  error: 'a text, a number, or a list or mapping of them',
});

const recordSchema = z
  .strictObject(
    {
      key: text.regex(/^[0-9a-f]{64}$/, '64 hexadecimal digits'),
      source: z.record(z.string(), sourceValue, { error: 'a mapping' }),
      members: z.array(text, { error: 'a list of names' }).min(1, 'at least one name'),
      images: z.tuple([images, images], { error: 'two whole numbers' }),
      magnitudes: z
        .array(
          z.strictObject(
            {
              magnitude: number.min(0, 'a number of at least 0'),
              fpr95: fraction,
              auroc: fraction,
              c: number.positive('a number above 0'),
              coefficients: z.array(number, { error: 'a list of numbers' }).min(1, 'at least one number').max(1000),
              intercept: number,
              converged: z.boolean({ error: 'true or false' }),
            },
            { error: 'a mapping' },
          ),
          { error: 'a list of magnitudes' },
        )
        .min(1, 'at least one magnitude'),
      best: number,
    },
    { error: 'a record of tuned parameters' },
  )
  .refine(({ magnitudes, best }) => magnitudes.some(({ magnitude }) => magnitude === best), {
    path: ['best'],
    error: 'one of the magnitudes',
  })
  .refine(({ key, source }) => tuningKey(source) === key, { path: ['key'], error: 'the key of the source' });

const fileSchema = z.strictObject(
  {
    format: z.literal(FORMAT, { error: `"${FORMAT}"` }),
    version: z.literal(VERSION, { error: `version ${VERSION}` }),
    records: z.array(recordSchema, { error: 'a list of records' }).min(1, 'at least one record'),
  },
  { error: 'a file of tuned parameters' },
);

/** The key of a record: equal for equal sources. */
export function tuningKey(source: Json): string {
  return canonicalHash({ what: 'mahalanobis tuning', source });
}

/** @throws ModeEnsembleError E_IO */
export async function writeTuning(path: string, records: readonly TuningRecord[]): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify({ format: FORMAT, version: VERSION, records }, null, 2)}\n`);
}

/**
 * @param where what errors call the file, for instance a flag
 * @throws ConfigError naming file and field where it is no such file; E_IO where it cannot be read
 */
export async function readTuning(path: string, where = 'tuned'): Promise<TuningRecord[]> {
  const place = `${where}: ${path}`;
  const content = await readText(path, place);
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    throw new ConfigError(`${place} is no JSON (${(error as Error).message})`);
  }
  return check(fileSchema, value, place).records;
}

async function readText(path: string, place: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > MAX_BYTES) {
      throw new ModeEnsembleError('E_DATA', `${place}: expected at most ${MAX_BYTES} bytes, found ${size}.`);
    }
    return await readFile(path, 'utf8');
  } catch (error) {
    throw ioError(error, path, 'read');
  }
}

/** Where the store keeps the record of a key. */
export function keptTuningPath(store: FeatureStore, key: string): string {
  return join(store.folder, `mahalanobis-${key}.json`);
}

/**
 * The record that `tune mahalanobis` left in the store for these modes, if there is one.
 *
 * @param onBad told why a file that is there cannot be used
 */
export async function keptTuning(
  store: FeatureStore,
  key: string,
  onBad: (reason: string) => void,
): Promise<TuningRecord | undefined> {
  const path = keptTuningPath(store, key);
  try {
    const records = await readTuning(path, 'Tuned parameters');
    const found = records.find((record) => record.key === key);
    if (!found) onBad(`${path} holds the parameters of ${namesOf(records)} under another key.`);
    return found;
  } catch (error) {
    if ((error as { cause?: NodeJS.ErrnoException }).cause?.code === 'ENOENT') return undefined;
    if (!(error instanceof ModeEnsembleError)) throw error;
    onBad(`${error.message.replace(/\.$/, '')}.`);
    return undefined;
  }
}

/**
 * The record of these members.
 *
 * @throws ConfigError that names whose parameters the file holds and whose were wanted, or what else differs
 */
export function tuningFor(
  records: readonly TuningRecord[],
  wanted: Record<string, Json>,
  members: readonly string[],
  place: string,
): TuningRecord {
  const found = records.find(({ key }) => key === tuningKey(wanted));
  if (found) return found;
  const weights = JSON.stringify(wanted.weights);
  const same = records.find(({ source }) => JSON.stringify(source.weights) === weights);
  const names = joinMembers(members);
  if (!same) {
    const [first] = records;
    const isNamed = records.some((record) => joinMembers(record.members) === names);
    const why = isNamed && first ? ' with other weights' : '';
    throw new ConfigError(`${place} holds parameters tuned for ${namesOf(records)}${why}, not for ${names}`);
  }
  const difference = firstDifference(same.source as Json, wanted);
  const what = difference
    ? `${difference.field} was ${describe(difference.a)} there and is ${describe(difference.b)} here`
    : 'its key is another one';
  throw new ConfigError(`${place} holds parameters of ${names} that were tuned for something else: ${what}`);
}

function namesOf(records: readonly TuningRecord[]): string {
  const names = records.slice(0, 4).map(({ members }) => joinMembers(members));
  return `${names.join(', ')}${records.length > names.length ? ` and ${records.length - names.length} more` : ''}`;
}
