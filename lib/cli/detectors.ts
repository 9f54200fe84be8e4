import type { Command } from 'commander';
import { SUITES } from '../data/suites.js';
import { DETECTORS, type Detector, getDetector, type Parameter, resolveParameters } from '../detectors/index.js';
import { FUSION_WORDS } from '../ensemble/index.js';
import type { CommandContext } from './context.js';

export function addDetectors(program: Command, context: CommandContext): void {
  program
    .command('detectors')
    .summary('the detectors: parameters, defaults, what they need, how ensembles are fused')
    .description(
      'Lists the detectors and the fusions. Parameters are given as NAME:PARAMETER=VALUE to --detector, and as ' +
        '{NAME: {PARAMETER: VALUE}} in an experiment file.',
    )
    .argument('[name...]', 'only these (default: all)')
    .option('--json', 'print as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble detectors
  $ mode-ensemble detectors odin knn --json`,
    )
    .action((names: string[], flags: { json?: true }) => detectors(names, flags, context));
}

function detectors(names: readonly string[], flags: { json?: true }, context: CommandContext): void {
  const chosen = names.length === 0 ? DETECTORS : names.map(getDetector);
  if (flags.json) {
    const fusions = Object.entries(FUSION_WORDS).map(([name, meaning]) => ({ name, meaning }));
    context.printJson({ detectors: chosen.map(asJson), fusions });
    return;
  }
  const width = Math.max(...Object.keys(FUSION_WORDS).map(({ length }) => length));
  const fusions = Object.entries(FUSION_WORDS).map(([name, words]) => `  ${name.padEnd(width)}  ${words}`);
  const all = chosen.map(describe);
  context.print([...all, ['Fusions of ensembles (--fusion)', ...fusions].join('\n')].join('\n\n'));
}

/** What it needs with the defaults of the suites, and of which ones where these make a difference. */
function needsLines(detector: Detector): string[] {
  const suites = new Map<string, string[]>();
  for (const { name } of SUITES) {
    const text = needsText(detector, name);
    suites.set(text, [...(suites.get(text) ?? []), name]);
  }
  return [...suites].map(([text, names]) => `needs${suites.size > 1 ? ` (${names.join(', ')})` : ''}: ${text}`);
}

const PASS_WORDS = {
  plain: 'the plain pass',
  perturbed: 'a pass of perturbed images',
  rank1: 'a pass without rank-1 parts',
} as const;

function needsText(detector: Detector, suite: string): string {
  const { passes, penultimate, stages, fit } = detector.needs(resolveParameters(detector, {}, suite));
  return [
    passes.map(({ kind }) => PASS_WORDS[kind]).join(' and '),
    ...(detector.space === 'logits' ? ['logits'] : []),
    ...(penultimate ? ['the penultimate feature'] : []),
    ...(stages ? ['a network with stages'] : []),
    ...(fit === 'train' ? ['training data'] : []),
  ].join(', ');
}

function describe(detector: Detector): string {
  const parameters = Object.entries(detector.parameters);
  const width = Math.max(0, ...parameters.map(([name]) => name.length));
  return [
    `${detector.name}  (${detector.title})`,
    ...parameters.map(
      ([name, parameter]) => `  ${name.padEnd(width)}  ${parameter.description} (${valuesText(parameter)})`,
    ),
    ...needsLines(detector).map((line) => `  ${line}`),
    `  ensemble: ${detector.fusion}`,
    ...(detector.space === 'features' ? ['  members of an ensemble must be of one architecture'] : []),
  ].join('\n');
}

function valuesText(parameter: Parameter): string {
  const { default: usual, suites = {} } = parameter;
  const bySuite = Object.entries(suites).map(([suite, value]) => `, ${suite} ${value}`);
  const choices = 'choices' in parameter ? `${parameter.choices.join(' or ')}; ` : '';
  return `${choices}default ${usual}${bySuite.join('')}`;
}

function asJson(detector: Detector) {
  const { name, title, parameters, fusion, space } = detector;
  const suites = SUITES.map((suite) => {
    const defaults = resolveParameters(detector, {}, suite.name);
    return [suite.name, { defaults, needs: detector.needs(defaults) }] as const;
  });
  return { name, title, parameters, space, fusion, suites: Object.fromEntries(suites) };
}
