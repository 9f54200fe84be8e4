/** What the command line says of detectors and fusions. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DETECTORS } from '../../lib/detectors/index.js';
import { FUSIONS } from '../../lib/ensemble/index.js';

const BIN = fileURLToPath(new URL('../../../bin/mode-ensemble.js', import.meta.url));
const cli = (...args: string[]) => spawnSync(process.execPath, [BIN, ...args], { encoding: 'utf8' });
const ood = ['eval-ood', '--checkpoint', 'a', '--checkpoint', 'b', '--in', 'builtin:shapes', '--out', 'builtin:blends'];

describe('detectors', () => {
  it('lists each with its parameters, what it needs and how it is fused', () => {
    const { stdout, status } = cli('detectors');
    assert.equal(status, 0);
    const blocks = stdout.trimEnd().split('\n\n');
    assert.deepEqual(
      blocks.map((block) => block.split('\n')[0]),
      [...DETECTORS.map(({ name, title }) => `${name}  (${title})`), 'Fusions of ensembles (--fusion)'],
    );
    for (const [index, { parameters, fusion }] of DETECTORS.entries()) {
      const lines = (blocks[index] as string).split('\n');
      for (const name of Object.keys(parameters)) assert.ok(lines.some((line) => line.startsWith(`  ${name} `)));
      assert.ok(lines.includes(`  ensemble: ${fusion}`));
    }
    const knn = blocks.find((block) => block.startsWith('knn'));
    assert.match(knn ?? '', /\n {2}k {2}which .* \(default 50, imagenet 1000\)\n {2}needs: .*, training data\n/);
    assert.match(knn ?? '', /members of an ensemble must be of one architecture$/);
    for (const name of FUSIONS) assert.match(blocks.at(-1) ?? '', new RegExp(`\n  ${name} +\\S`));
  });

  it('as JSON holds defaults and needs for each suite', () => {
    const { detectors, fusions } = JSON.parse(cli('detectors', 'ODIN', '--json').stdout);
    assert.deepEqual(
      detectors.map(
        ({
          name,
          suites,
        }: {
          name: string;
          suites: Record<string, { defaults: object; needs: { passes: { kind: string }[] } }>;
        }) => [
          name,
          suites.cifar10?.defaults,
          suites.cifar10?.needs.passes.map(({ kind }) => kind),
          suites.imagenet?.needs.passes.map(({ kind }) => kind),
        ],
      ),
      [['odin', { temperature: 1000, magnitude: 0.0014, gradient: 'own' }, ['perturbed'], ['plain']]],
    );
    assert.deepEqual(
      fusions.map(({ name }: { name: string }) => name),
      FUSIONS,
    );
  });

  it('suggests the nearest name', () => {
    const { status, stderr } = cli('detectors', 'odn');
    assert.deepEqual([status, stderr], [2, 'mode-ensemble: Unknown detector "odn"; the nearest is "odin"\n']);
  });
});

describe('flags of eval-ood', () => {
  const refuses = (flags: string[], sentence: string) =>
    it(flags.join(' '), () => {
      const { status, stdout, stderr } = cli(...ood, ...flags);
      assert.deepEqual([status, stdout, stderr], [2, '', `mode-ensemble: ${sentence}\n`]);
    });
  refuses(['--detector', 'msp,knn:q=3'], '--detector: Detector knn has no parameter "q"; known are k');
  refuses(['--detector', 'odin:magnitude'], '--detector: expected odin:parameter=value, found "odin:magnitude"');
  refuses(['--detector', 'knn:k=0'], '--detector: Detector knn, k: expected a whole number at least 1, found 0.');
  refuses(['--fusion', 'score'], '--fusion: expected paper, scores, standardised or softmax, found "score"');
  refuses(
    ['--arch', 'R18', '--arch', 'R18', '--arch', 'R18'],
    '--arch: expected one for all, or one for each of 2 checkpoints, found 3',
  );
  refuses(
    ['--arch', 'R18', '--width', '8', '--width', 'x'],
    '--width: expected a whole number of at least 1, found "x"',
  );
  refuses(['--width', '8'], '--width: expected --arch with it, found none');
});
