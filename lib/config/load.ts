import { readFileSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { check } from './check.js';
import { ConfigError } from './errors.js';
import { ioError } from './files.js';
import { RECIPES } from './recipes.js';
import { archSchema, type Experiment, experimentSchema, type ModelExperiment, setsSchema } from './schema.js';

/**
 * Reads and checks an experiment file (YAML) and fills in the defaults.
 *
 * @throws ModeEnsembleError E_IO where the file cannot be read, E_CONFIG where it is not a valid experiment
 */
export function loadExperiment(file: string): Experiment {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw ioError(error, file, 'read');
  }
  return parseExperiment(text, file);
}

/** As loadExperiment, from text; `file` is what errors name. */
export function parseExperiment(text: string, file: string): Experiment {
  return completeExperiment(parseYaml(text, file), file);
}

/** Checks an experiment given as an object and fills in the defaults; `where` is what errors name. */
export function completeExperiment(value: unknown, where = 'experiment'): Experiment {
  const experiment = check(experimentSchema, value, where);
  const { train } = experiment;
  if (experiment.suite === undefined) check(setsSchema, experiment, where);
  else if (experiment.in !== undefined) {
    throw new ConfigError(`${where}: suite: expected either suite or in, found both`);
  }
  if (experiment.models === undefined) check(archSchema, experiment, where);
  else if (experiment.arch !== undefined) {
    throw new ConfigError(`${where}: models: expected either arch or models, found both`);
  }
  if (train.nesterov && train.momentum === 0) {
    throw new ConfigError(`${where}: train.nesterov: expected a train.momentum above 0 with it, found 0`);
  }
  const name = experiment.name ?? basename(where, extname(where));
  return { ...experiment, name, run: experiment.run ?? `runs/${name.replace(/[^\p{L}\p{N}._-]+/gu, '-')}` };
}

/**
 * One experiment for each architecture, with what differs for it in the place of what the whole file says.
 *
 * @param experiment a complete one
 */
export function expandModels(experiment: Experiment): ModelExperiment[] {
  const { arch, models, ...shared } = experiment;
  if (models === undefined) return [arch ?? []].flat().map((name) => ({ ...shared, arch: name }));
  return models.map(({ train = {}, evaluate = {}, ...own }) => {
    const isOther = train.recipe !== undefined && train.recipe !== shared.train.recipe;
    const base = isOther ? RECIPES[train.recipe as keyof typeof RECIPES] : shared.train;
    return {
      ...shared,
      ...given(own),
      arch: own.arch,
      seeds: own.seeds ?? shared.seeds,
      train: { ...base, ...given(train) } as ModelExperiment['train'],
      evaluate: { ...shared.evaluate, ...given(evaluate) },
    };
  });
}

function given<T extends object>(values: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [Key in keyof T]?: Exclude<T[Key], undefined> };
}

function parseYaml(text: string, file: string): unknown {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: true });
  const fault = document.errors[0] ?? document.warnings[0];
  if (fault) {
    const { line, col } = lineCounter.linePos(fault.pos[0]);
    const duplicate = fault.code === 'DUPLICATE_KEY' ? 'the same key is given twice' : undefined;
    const message = duplicate ?? `not valid YAML: ${fault.message.split('\n')[0]}`;
    throw new ConfigError(`${file}: line ${line}, column ${col}: ${message}`);
  }
  try {
    return document.toJS();
  } catch (error) {
    throw new ConfigError(`${file}: not valid YAML: ${(error as Error).message}`, { cause: error });
  }
}
