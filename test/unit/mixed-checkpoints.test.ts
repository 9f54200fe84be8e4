/** Checkpoints of several architectures in one evaluation, on an addon that does no work. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { trainSchema } from '../../lib/config/schema.js';
import { openCheckpoints } from '../../lib/modes/checkpoints.js';
import { memberNames } from '../../lib/modes/member-names.js';
import { writeMetadata } from '../../lib/modes/metadata.js';
import type {
  Addon,
  ArchitectureInfo,
  InspectOptions,
  NeighboursOptions,
  ProbeOptions,
} from '../../lib/native/contract.js';
import { evaluateClean, evaluateOod } from '../../lib/run/run-checkpoints.js';
import { suiteFolders } from '../helpers/suites.js';
import { FAKE_TRANSFORM, fakeAddon, fakeArchitectures, writeSafetensors } from './run-addon.js';

const { fresh } = suiteFolders();
const CLASSES = ['circle', 'square', 'star'];
const OTHER = { ...FAKE_TRANSFORM, mean: [0.1, 0.2, 0.3] as [number, number, number] };

/** An addon that knows R18 and DN, of which DN is preprocessed otherwise; `fits` are told by the file's name. */
function makeAddon(fits: Record<string, { name: string; width: number; classes: number }> = {}) {
  const addon = fakeAddon();
  const { architectures, findArchitecture } = fakeArchitectures(['cifar-resnet18', 'R18', 64], ['densenet', 'DN', 24]);
  const own = (info: ArchitectureInfo) => (info.name === 'densenet' ? { ...info, transform: OTHER } : info);
  const inspect = addon.inspectCheckpoint.bind(addon);
  return Object.assign(addon, {
    architectures: () => architectures().map(own),
    findArchitecture: (name: string) => {
      const found = findArchitecture(name);
      return found && own(found);
    },
    inspectCheckpoint: (options: InspectOptions, sink: () => void) => {
      const job = inspect(options, sink);
      const [, fit] = Object.entries(fits).find(([name]) => options.path.includes(name)) ?? [];
      return { ...job, done: job.done.then((found) => ({ ...found, fits: options.identify ? (fit ?? null) : null })) };
    },
    neighbours: ({ queries }: NeighboursOptions) => {
      const distances = queries.map(() => new Float32Array(20));
      return { done: Promise.resolve({ distances }), abort() {} };
    },
    // A TorchScript module gives a feature of as many numbers as its name says.
    probe: ({ checkpoint }: ProbeOptions) => {
      const penultimate = Number(/f(\d+)/.exec(checkpoint)?.[1] ?? 0);
      return { done: Promise.resolve({ classes: 3, penultimate, stages: 0, seconds: 0 }), abort() {} };
    },
  }) as typeof addon;
}

/** A checkpoint of ours. */
function mode(
  arch: string,
  width: number,
  seed: number,
  { classes = CLASSES, transform = FAKE_TRANSFORM } = {},
): string {
  const file = `${fresh('mode')}/seed-${seed}/checkpoint.safetensors`;
  const train = trainSchema.parse({});
  const settings = { arch: { name: arch, width, classes: classes.length, dropout: 0 }, data: 'd', train, transform };
  writeSafetensors(file, { w: { dtype: 'F32', shape: [2, seed] } }, writeMetadata(seed, classes, settings));
  return file;
}

/** One that says nothing of itself. */
function bare(name: string): string {
  const file = `${fresh('bare')}/${name}`;
  writeSafetensors(file, { w: { dtype: 'F32', shape: [name.length] } }, {});
  return file;
}

describe('checkpoints of several architectures', () => {
  it('each have their own preprocessing and classes', async () => {
    const addon = makeAddon();
    const files = [mode('cifar-resnet18', 64, 1000), mode('densenet', 24, 1000, { transform: OTHER })];
    const { members, classes } = await openCheckpoints(files, { addon });
    assert.deepEqual(
      members.map(({ name, arch, transform, classes: count }) => [name, arch.id, transform.mean, count]),
      [
        ['cifar-resnet18-1000', 'cifar-resnet18', FAKE_TRANSFORM.mean, 3],
        ['densenet-1000', 'densenet', OTHER.mean, 3],
      ],
    );
    assert.deepEqual(classes, CLASSES);
    const one = await openCheckpoints(files, { addon, preprocessing: 'R18', transform: { crop: 30 } });
    assert.ok(one.members.every(({ transform }) => transform.mean === FAKE_TRANSFORM.mean && transform.crop === 30));
  });

  it('take --arch once for all that do not say it, or once for each', async () => {
    const addon = makeAddon();
    const [own, a, b] = [mode('densenet', 24, 7), bare('a.safetensors'), bare('b.pth')];
    const archs = async (files: string[], settings: object) =>
      (await openCheckpoints(files, { addon, ...settings })).members.map(({ arch }) => arch.id);
    assert.deepEqual(await archs([own, a], { arch: 'R18' }), ['densenet', 'cifar-resnet18']);
    assert.deepEqual(await archs([a, b], { arch: ['R18', 'DN'] }), ['cifar-resnet18', 'densenet']);
    const wide = { arch: ['R18', 'DN'], width: [16, 24] };
    assert.deepEqual(await archs([a, b], wide), ['cifar-resnet18-w16', 'densenet']);
    assert.deepEqual(await archs([a, b], { arch: 'R18', width: 8 }), Array(2).fill('cifar-resnet18-w8'));
    assert.deepEqual(await archs([own, a, b], { arch: ['DN', 'R18', 'R18'], width: 24 }), [
      'densenet',
      'cifar-resnet18-w24',
      'cifar-resnet18-w24',
    ]);
    const refused = (files: string[], settings: object, code: string, message: string) =>
      assert.rejects(openCheckpoints(files, { addon, ...settings }), { code, message });
    const wrong = `${own}: expected a cifar-resnet18, found a densenet`;
    await refused([own, a], { arch: ['R18', 'R18'] }, 'E_CHECKPOINT', wrong);
    await refused([own], { arch: 'R18' }, 'E_CHECKPOINT', wrong);
    const three = '--arch: expected one for all, or one for each of 3 checkpoints, found 2';
    await refused([own, a, b], { arch: ['R18', 'DN'] }, 'E_CONFIG', three);
    const widths = '--width: expected one for all, or one for each of 1 checkpoint, found 2';
    await refused([a], { arch: 'R18', width: [1, 2] }, 'E_CONFIG', widths);
    await refused([own], { width: 3 }, 'E_CONFIG', '--width: expected --arch with it, found none');
    await refused([own, a, own], { arch: 'R18' }, 'E_CONFIG', `checkpoint ${own} is given twice`);
  });

  it('are identified one by one, with their classes', async () => {
    const addon = makeAddon({
      one: { name: 'cifar-resnet18', width: 8, classes: 3 },
      two: { name: 'densenet', width: 24, classes: 100 },
    });
    const { members, classes } = await openCheckpoints([bare('one.th'), bare('two.pth.tar')], { addon });
    assert.deepEqual(
      members.map(({ name, arch, classes: count }) => [name, arch.id, count]),
      [
        ['one', 'cifar-resnet18-w8', 3],
        ['two', 'densenet', 100],
      ],
    );
    assert.equal(classes, undefined);
    // Weights of another network than the one that is asked for say nothing about its classes.
    const [asked] = (await openCheckpoints([bare('two.th')], { addon, arch: 'R18' })).members;
    assert.deepEqual([asked?.arch.id, asked?.classes], ['cifar-resnet18', undefined]);
  });

  it('may be TorchScript modules beside others', async () => {
    const addon = makeAddon();
    const own = mode('cifar-resnet18', 64, 1000);
    const { mean, std } = FAKE_TRANSFORM;
    const transform = { crop: 32, mean, std };
    const open = async (files: string[], arch: string | string[]) =>
      (await openCheckpoints(files, { addon, arch, transform })).members.map(
        ({ name, arch: found, hasPenultimate, classes }) => [name, found.id, hasPenultimate, classes],
      );
    const [f64, f64too, f8, none] = ['f64.pt', 'f64b.pt', 'f8.pt', 'net.pt'].map(bare) as [
      string,
      string,
      string,
      string,
    ];
    assert.deepEqual(await open([own, f64, f64too, f8, none], 'script'), [
      ['seed-1000', 'cifar-resnet18', true, 3],
      ['f64', 'script-f64', true, 3],
      ['f64b', 'script-f64', true, 3],
      ['f8', 'script-f8', true, 3],
      ['net', 'script-net', false, 3],
    ]);
    const pair = [
      ['f64', 'script-f64', true, 3],
      ['net', 'cifar-resnet18', true, undefined],
    ];
    assert.deepEqual(await open([none], [`script:${f64}`, 'R18']), pair);
    assert.deepEqual(await open([f64, none], ['script', 'R18']), pair);
  });

  it('must agree in the names of their classes', async () => {
    const files = [mode('cifar-resnet18', 64, 1), mode('densenet', 24, 2, { classes: ['a', 'b', 'c'] })];
    await assert.rejects(openCheckpoints(files, { addon: makeAddon() }), {
      code: 'E_CHECKPOINT',
      message: `${files[1]}: its classes differ from those of ${files[0]}`,
    });
  });
});

describe('names of members', () => {
  const named = (...all: [file: string, seed: number | undefined, arch: string][]) =>
    memberNames(all.map(([file, seed, arch]) => ({ file, seed, arch })));

  it('are the first that tell all apart', () => {
    assert.deepEqual(named(['/x/a.pth', 1, 'r'], ['/x/b.pth', 2, 'd']), ['1', '2']);
    assert.deepEqual(named(['/x/a.pth', 1, 'r'], ['/x/b.pth', 1, 'd']), ['r-1', 'd-1']);
    assert.deepEqual(named(['/x/seed-1/e.pth', undefined, 'r'], ['/y/seed-1/e.pth', undefined, 'd']), ['r-1', 'd-1']);
    assert.deepEqual(named(['/x/a.pth', 1, 'r'], ['/x/b.pth', 1, 'r']), ['a', 'b']);
    assert.deepEqual(named(['/x/a.pth', 1, 'r'], ['/x/b.pth', undefined, 'r']), ['a', 'b']);
    assert.deepEqual(named(['/x/checkpoint.pth.tar', undefined, 'r'], ['/y/net.pth.tar', undefined, 'r']), [
      'x',
      'net',
    ]);
    assert.deepEqual(named(['/x/a.pth', 1, 'r'], ['/y/a.pth', 1, 'r']), ['x-a', 'y-a']);
    assert.deepEqual(named(['/p/x/a.pt', 1, 'r'], ['/q/x/a.pt', 1, 'r']), ['-p-x-a.pt', '-q-x-a.pt']);
  });

  it('hold no plus, and stay different without it', () => {
    assert.deepEqual(named(['/x/a+b.pt', undefined, 'r'], ['/x/c.pt', undefined, 'r']), ['a_b', 'c']);
    assert.deepEqual(named(['/x/a+b.pt', undefined, 'r'], ['/x/a_b.pt', undefined, 'r']), ['1', '2']);
  });
});

const shared = {
  in: 'builtin:shapes',
  batchSize: 8,
  precision: 'float32' as const,
  threads: 1,
  workers: 1,
  nameField: (field: string) => `--${field}`,
};

function evaluation(addon: Addon, checkpoints: string[]) {
  const warnings: string[] = [];
  const onLog = ({ level, message }: { level: string; message: string }) => {
    if (level === 'warning') warnings.push(message);
  };
  const settings = { ...shared, checkpoints, out: ['builtin:a'], features: fresh('features'), addon };
  return { settings: { ...settings, ensembles: 'all' as const }, warnings, hooks: { onLog } };
}

describe('eval-ood of several architectures', () => {
  const pair = () => [mode('cifar-resnet18', 64, 1), mode('densenet', 24, 2, { transform: OTHER })];
  const detectorsOf = ({ rows }: { rows: { detector: string }[] }) => [
    ...new Set(rows.map(({ detector }) => detector)),
  ];

  it('passes each set once for each preprocessing', async () => {
    const addon = makeAddon();
    const files = [...pair(), mode('densenet', 24, 3, { transform: OTHER })];
    const { settings } = evaluation(addon, files);
    const { evaluation: found } = await evaluateOod({ ...settings, detectors: ['msp', 'energy'] });
    assert.deepEqual(
      addon.extracted.map(({ transform, members }) => [transform.mean[0], members.map(({ arch }) => arch.name)]),
      Array(2)
        .fill([
          [0.5, ['cifar-resnet18']],
          [0.1, ['densenet', 'densenet']],
        ])
        .flat(),
    );
    const archs = new Map(found.rows.map(({ members, arch }) => [members, arch]));
    assert.deepEqual(
      [...archs],
      [
        ['1', 'cifar-resnet18'],
        ['2', 'densenet'],
        ['3', 'densenet'],
        ['1+2+3', 'cifar-resnet18+densenet'],
      ],
    );
    // Nothing is made twice, also not what one of them has made before.
    const made = addon.extracted.length;
    await evaluateOod({ ...settings, checkpoints: files.slice(0, 2), detectors: ['msp'] });
    assert.equal(addon.extracted.length, made);
    const clean = await evaluateClean(settings);
    assert.deepEqual([clean.arch, clean.modes.length, addon.extracted.length], ['cifar-resnet18+densenet', 3, made]);
    assert.equal(addon.open, 0);
  });

  it('leaves out, or refuses, what averages features', async () => {
    const { settings, warnings, hooks } = evaluation(makeAddon(), pair());
    const why =
      'averages features, which modes of different architectures (cifar-resnet18, densenet) do not have in common: for ensemble 1+2 take detectors on logits, or the fusion "scores"';
    const { evaluation: found } = await evaluateOod(settings, hooks);
    assert.ok(!detectorsOf(found).includes('knn') && detectorsOf(found).includes('gradnorm'));
    assert.ok(warnings.includes(`knn is left out: it ${why}`), warnings.join('\n'));
    await assert.rejects(evaluateOod({ ...settings, detectors: ['msp', 'knn'] }), {
      code: 'E_CONFIG',
      message: `--detectors: knn ${why}`,
    });
  });

  it('leaves out what is no function of the softmax where that is averaged', async () => {
    const { settings, warnings, hooks } = evaluation(makeAddon(), pair());
    const { evaluation: found } = await evaluateOod({ ...settings, fusion: 'softmax' }, hooks);
    assert.deepEqual(detectorsOf(found), ['msp', 'odin', 'gradnorm']);
    for (const name of ['energy', 'knn']) {
      assert.ok(warnings.some((text) => text.startsWith(`${name} is left out: it is no function of the softmax`)));
    }
  });

  it('says which of them gives no feature', async () => {
    const [own] = pair() as [string];
    const script = bare('net.pt');
    const addon = makeAddon();
    const { settings, warnings, hooks } = evaluation(addon, [own, script]);
    const given = { ...settings, arch: 'script', preprocessing: 'R18' };
    const why = `needs the network's penultimate feature, and ${script} returns logits alone`;
    const { evaluation: found } = await evaluateOod(given, hooks);
    assert.deepEqual(detectorsOf(found), ['msp', 'odin', 'energy']);
    assert.ok(warnings.includes(`gradnorm is left out: it ${why}`), warnings.join('\n'));
    const whole = `needs the network's stages, and ${script} is only known as a whole`;
    assert.ok(warnings.includes(`rankfeat is left out: it ${whole}`), warnings.join('\n'));
    // Alone, it has taken nothing away from others.
    const alone = evaluation(makeAddon(), [bare('f8.pt')]);
    const { evaluation: own8 } = await evaluateOod(
      { ...alone.settings, arch: 'script', preprocessing: 'R18' },
      alone.hooks,
    );
    assert.deepEqual(detectorsOf(own8), ['msp', 'odin', 'energy', 'gradnorm', 'knn']);
    assert.ok(!alone.warnings.some((text) => text.includes('left out')));
    await assert.rejects(evaluateOod({ ...given, detectors: ['gradnorm'] }), {
      code: 'E_CONFIG',
      message: `--detectors: gradnorm ${why}`,
    });
  });

  it('does not add up gradients of other pixels', async () => {
    const { settings } = evaluation(makeAddon(), pair());
    const odin = { ...settings, detectors: [{ odin: { gradient: 'accumulated' } }] };
    await assert.rejects(evaluateOod(odin), {
      code: 'E_CONFIG',
      message:
        'gradient: accumulated: expected modes with one preprocessing, whose gradients can be added up, found 2; take gradient: own',
    });
    await evaluateOod({ ...odin, preprocessing: 'R18' });
  });
});

describe('modes of other class counts', () => {
  const fits = { wide: { name: 'densenet', width: 24, classes: 100 } };

  it('are scored, without accuracy', async () => {
    const addon = makeAddon(fits);
    const { settings, warnings, hooks } = evaluation(addon, [mode('cifar-resnet18', 64, 1), bare('wide.th')]);
    const { evaluation: found } = await evaluateOod({ ...settings, detectors: ['msp'], fusion: 'standardised' }, hooks);
    assert.deepEqual(
      addon.extracted.slice(0, 2).map(({ members }) => members.map(({ arch }) => [arch.name, arch.classes])),
      [[['cifar-resnet18', 3]], [['densenet', 100]]],
    );
    assert.deepEqual(
      found.rows.map(({ members }) => members),
      ['seed-1', 'wide', 'seed-1+wide'],
    );
    assert.deepEqual(
      found.accuracy.map(({ members }) => members),
      ['seed-1'],
    );
    assert.ok(warnings.includes('mode wide has no accuracy: it tells 100 classes apart, and shapes has 3'));
  });

  it('have no logits in common, which is said before anything is extracted', async () => {
    const addon = makeAddon(fits);
    const { settings } = evaluation(addon, [mode('cifar-resnet18', 64, 1), bare('wide.th')]);
    const why = (label: string) =>
      `--detectors: ${label} averages logits, which modes of 3 and 100 classes do not have in common: for ensemble seed-1+wide take the fusion "scores" or "standardised"`;
    for (const detectors of [['msp'], undefined]) {
      await assert.rejects(evaluateOod({ ...settings, detectors }), { code: 'E_CONFIG', message: why('msp') });
    }
    assert.equal(addon.extracted.length, 0);
  });

  it('cannot be measured by labels', async () => {
    const wide = bare('wide.th');
    const { settings } = evaluation(makeAddon(fits), [wide]);
    await assert.rejects(evaluateClean(settings), {
      code: 'E_CHECKPOINT',
      message: `${wide}: expected a network of 3 classes, as shapes has them, for its accuracy, found 100`,
    });
  });
});
