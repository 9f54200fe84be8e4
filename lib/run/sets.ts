/** Which sets a run is about: those that are named one by one, or a suite's and more. */
import { ConfigError } from '../config/errors.js';
import type { DataSet } from '../data/open.js';
import { type PlacedSpec, parseDataSpec, parseOutSpecs } from '../data/spec.js';
import {
  type FoundSet,
  type FoundSuite,
  incompleteWarning,
  missingSentence,
  requireSuite,
  warn,
} from '../data/suite.js';
import type { TransformOptions } from '../native/contract.js';
import type { JobHooks } from '../native/job.js';

/** A set, the flag or field that errors name, and what a relative path is relative to. */
export interface ChosenSet extends PlacedSpec {
  root: string | undefined;
}

export interface ChosenSets {
  /** Its spec names no split: a run takes both parts. */
  in: ChosenSet;
  out: ChosenSet[];
  suite: FoundSuite | undefined;
}

export interface SetSettings {
  in?: string | undefined;
  out?: readonly string[] | undefined;
  /** Base of relative paths in `in` and `out`. */
  root?: string | undefined;
  suite?: string | undefined;
  /** The folder in which the suite's sets lie. */
  data: string;
  /** False where only the in-distribution set is wanted. */
  needsOut: boolean;
}

/** What errors call a field; `index` is the place in `out`. */
export type NameField = (field: 'in' | 'out' | 'suite' | 'data', index?: number) => string;

/**
 * Looks the names up; nothing is opened.
 *
 * @throws ModeEnsembleError E_CONFIG, E_DATA where a suite's sets are missing
 */
export function chooseSets(settings: SetSettings, name: NameField): ChosenSets {
  const { in: own, out = [], root, suite, data, needsOut } = settings;
  const texts = out.map((text, index) => ({ text, where: name('out', index) }));
  if (suite === undefined) {
    if (own === undefined) {
      throw new ConfigError(`${name('in')}: expected a data set, or ${name('suite')}, found neither`);
    }
    if (needsOut && out.length === 0) {
      throw new ConfigError(`${name('out')}: expected an OoD data set, or ${name('suite')}, found neither`);
    }
    const spec = parseDataSpec(own, name('in'));
    const specs = parseOutSpecs(texts, spec);
    const placed = specs.map((one, index) => ({ spec: one, where: name('out', index), root }));
    return { in: { spec, where: name('in'), root }, out: placed, suite: undefined };
  }
  if (own !== undefined) {
    throw new ConfigError(`${name('suite')}: expected either ${name('suite')} or ${name('in')}, found both`);
  }
  const where = { suite: name('suite'), root: name('data') };
  const found = requireSuite(suite, data, { needsOut: needsOut && out.length === 0, where });
  // requireSuite has seen to it that the test part is there.
  const spec = { ...(found.test.spec as PlacedSpec['spec']), split: undefined };
  const ofSuite = needsOut
    ? found.out.flatMap((part) => (part.spec ? [{ spec: part.spec, where: where.suite, root: found.root }] : []))
    : [];
  const further = parseOutSpecs(texts, spec, ofSuite);
  return {
    in: { spec, where: where.suite, root: found.root },
    out: [...ofSuite, ...further.map((one, index) => ({ spec: one, where: name('out', index), root }))],
    suite: found,
  };
}

/** Warns of each OoD set of the suite that is missing, unless it was named in another way. */
export function tellMissing({ suite, out }: ChosenSets, hooks: Pick<JobHooks, 'onLog'>): void {
  const given = new Set(out.map(({ spec }) => spec.name.toLowerCase()));
  for (const part of suite?.out ?? []) {
    if (!part.spec && !given.has(part.set.name.toLowerCase())) warn(missingSentence(part, true), hooks);
  }
}

/** Warns where an opened set of the suite has fewer images than it should. */
export function tellIncomplete(
  part: FoundSet | undefined,
  set: Pick<DataSet, 'count'>,
  hooks: Pick<JobHooks, 'onLog'>,
): void {
  if (part) warn(incompleteWarning(part, set.count), hooks);
}

/** Hooks that also keep the warnings, so that results can say what they are worth. */
export function keepWarnings<Hooks extends Pick<JobHooks, 'onLog'>>(
  hooks: Hooks,
): { hooks: Hooks; warnings: string[] } {
  const warnings: string[] = [];
  const onLog: JobHooks['onLog'] = (event) => {
    if (event.level === 'warning') warnings.push(event.message);
    hooks.onLog?.(event);
  };
  return { hooks: { ...hooks, onLog }, warnings };
}

/** The suite's set that a chosen OoD set is. */
export function partOf({ suite }: ChosenSets, { spec }: ChosenSet): FoundSet | undefined {
  return suite?.out.find((part) => part.spec === spec);
}

/**
 * A network that reads images of another size than its suite's would be measured on what it was not made for.
 *
 * @param isAsked the size was asked for
 * @throws ConfigError
 */
export function requireSuiteSize(
  { suite }: Pick<ChosenSets, 'suite'>,
  arch: string,
  { crop }: TransformOptions,
  isAsked: boolean,
  name: { suite: string; crop: string },
): void {
  if (!suite || isAsked || crop === suite.suite.transform.crop) return;
  const { name: of, transform } = suite.suite;
  const expected = `expected a network for images of ${transform.crop} pixels, as ${of} has them`;
  const found = `found ${arch}, which reads ${crop} pixels`;
  throw new ConfigError(`${name.suite}: ${expected}, ${found}; ${name.crop} asks for a size`);
}
