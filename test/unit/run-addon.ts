/** An addon that does no work: what it writes has the right form, so that everything around it can be tested alone. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { ModeEnsembleError } from '../../lib/config/errors.js';
import type { Architectures } from '../../lib/modes/arch.js';
import type {
  Addon,
  ArchitectureInfo,
  DataHandle,
  ExtractOptions,
  FitGaussiansOptions,
  GaussianScoresOptions,
  InspectOptions,
  JobEvent,
  NativeJob,
  OpenDataOptions,
  PerturbedGaussiansOptions,
  TrainOptions,
  TransformOptions,
} from '../../lib/native/contract.js';

type Columns = Record<string, { dtype: 'F32' | 'F64' | 'I64'; shape: number[] }>;

/** A safetensors file of zeros. */
export function writeSafetensors(file: string, columns: Columns, metadata: Record<string, string>): void {
  let end = 0;
  const header: Record<string, unknown> = { __metadata__: metadata };
  for (const [name, { dtype, shape }] of Object.entries(columns)) {
    const size = shape.reduce((product, side) => product * side, dtype === 'F32' ? 4 : 8);
    header[name] = { dtype, shape, data_offsets: [end, end + size] };
    end += size;
  }
  const text = Buffer.from(JSON.stringify(header));
  const head = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, ' ');
  head.writeBigUInt64LE(BigInt(head.length - 8));
  text.copy(head, 8);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, Buffer.concat([head, Buffer.alloc(end)]));
}

const CLASSES = ['circle', 'square', 'star'];

export interface FakeAddon extends Addon {
  trained: TrainOptions[];
  extracted: ExtractOptions[];
  open: number;
  /** Who keeps networks between jobs. */
  kept: number;
  /** Called as each job begins; may throw. */
  onJob: (kind: string) => void;
  /** Fingerprint and classes of the training data. */
  fingerprint: string;
  classes: string[];
  /** Images that cannot be decoded, in every OoD set. */
  bad: number;
}

/** Look-up of architectures as native code does it, of these names, aliases and widths. */
export function fakeArchitectures(...rows: [name: string, alias: string, width: number][]): Architectures {
  const infos = rows.map(
    ([name, alias, width]): ArchitectureInfo => ({
      name,
      aliases: [alias],
      family: 'test',
      width,
      widthStep: 1,
      dropout: 0,
      hasDropout: false,
      classes: 10,
      stages: [64, 64, 128, 256, 512],
      transform: FAKE_TRANSFORM,
    }),
  );
  const names = ({ name, aliases }: ArchitectureInfo) => [name, ...aliases].map((known) => known.toLowerCase());
  return {
    architectures: () => infos,
    findArchitecture: (name) => infos.find((info) => names(info).includes(name.toLowerCase())) ?? null,
  };
}

export const FAKE_TRANSFORM: TransformOptions = {
  resize: 32,
  fit: 'both',
  filter: 'bilinear',
  crop: 32,
  mean: [0.5, 0.5, 0.5],
  std: [0.2, 0.2, 0.2],
};

export function fakeAddon(): FakeAddon {
  const handles = new Map<DataHandle, OpenDataOptions>();
  const start = <T>(kind: string, work: () => T): NativeJob<T> => ({
    done: new Promise<T>((resolve, reject) => {
      setImmediate(() => {
        try {
          fake.onJob(kind);
          resolve(work());
        } catch (error) {
          reject(error);
        }
      });
    }),
    abort() {},
  });
  const count = ({ split }: OpenDataOptions) => (split === 'train' ? 60 : 20);
  const fake = {
    trained: [] as TrainOptions[],
    extracted: [] as ExtractOptions[],
    open: 0,
    kept: 0,
    bad: 0,
    fingerprint: 'fingerprint',
    classes: CLASSES,
    onJob: (_kind: string) => {},
    info: () => ({
      devices: ['cpu'],
      cuda: false,
      version: '0',
      libtorch: '0',
      cpuCapability: 'none',
      compiler: 'none',
      builtinSets: ['shapes', 'a', 'b'],
    }),
    ...fakeArchitectures(['cifar-resnet18', 'R18', 64]),
    openData: (options: OpenDataOptions) =>
      start('open', () => {
        const handle = {} as DataHandle;
        handles.set(handle, options);
        fake.open++;
        const classes = options.split === 'train' ? fake.classes : CLASSES;
        const fingerprint = `${fake.fingerprint} ${options.path} ${options.split}`;
        return { handle, count: count(options), classes, fingerprint };
      }),
    lockFile: () => ({ release() {} }),
    keepBetweenJobs: () => {
      fake.kept++;
      return { release: () => fake.kept-- };
    },
    disposeData: () => {
      fake.open--;
    },
    inspectCheckpoint: ({ path }: InspectOptions) =>
      start('inspect', () => {
        const bytes = readFileSync(path);
        const length = bytes.length < 8 ? Number.NaN : Number(bytes.readBigUInt64LE(0));
        if (!(length < bytes.length)) throw new ModeEnsembleError('E_CHECKPOINT', `${path}: not a whole file`);
        const { __metadata__: metadata = {} } = JSON.parse(bytes.toString('utf8', 8, 8 + length));
        return { metadata, fits: null };
      }),
    train: (options: TrainOptions, sink: (event: JobEvent) => void) =>
      start(`train ${options.seed}`, () => {
        fake.trained.push(options);
        for (let epoch = 1; epoch <= options.epochs; epoch++) {
          const numbers = {
            globalStep: epoch,
            loss: 1 / epoch,
            trainTop1: 50,
            trainTop5: 90,
            learningRate: 0.1,
            accuracy: 50,
            top5: 90,
            testLoss: 1,
            seconds: 1,
            imagesPerSecond: 60,
            dataWait: 0,
          };
          sink({ type: 'epoch', epoch, epochs: options.epochs, ...numbers });
        }
        writeSafetensors(options.checkpoint, { w: { dtype: 'F32', shape: [2] } }, options.metadata);
        return { loss: 0.5, accuracy: 50, top5: 90, testLoss: 1, seconds: 2, imagesPerSecond: 60 };
      }),
    extract: (options: ExtractOptions) =>
      start('extract', () => {
        fake.extracted.push(options);
        const set = handles.get(options.data) as OpenDataOptions;
        const isOut = set.path !== 'shapes';
        if (isOut && fake.bad > 0 && !set.skipBadImages) {
          throw new ModeEnsembleError('E_DATA', `${set.path}: image 3 is no image`);
        }
        const rows = count(set) - (isOut ? fake.bad : 0);
        for (const [{ arch, outputs }, { path, metadata }] of options.members.flatMap((member) =>
          member.outputs.map((output) => [member, output] as const),
        )) {
          const { classes } = arch;
          assert.ok(outputs.length > 0);
          writeSafetensors(
            path,
            {
              labels: { dtype: 'I64', shape: [rows] },
              predictions: { dtype: 'I64', shape: [rows] },
              logits: { dtype: 'F32', shape: [rows, classes] },
              ...Object.fromEntries(
                [1, 2, 3, 4].map((k) => [`stage${k}`, { dtype: 'F32' as const, shape: [rows, 2] }]),
              ),
              stage5: { dtype: 'F32', shape: [rows, 4] },
            },
            { ...metadata, penultimate: 'stage5' },
          );
        }
        const skipped = Array.from({ length: isOut ? fake.bad : 0 }, (_, index) => ({
          name: `${set.path}/${index}.png`,
          reason: 'no image',
        }));
        return { count: rows, skipped, skippedCount: count(set) - rows, seconds: 1 };
      }),
    fitGaussians: ({ stages, classes, output, metadata }: FitGaussiansOptions) =>
      start('fit', () => {
        const tensors = stages.flatMap((stage): [string, Columns[string]][] => [
          [`${stage}.means`, { dtype: 'F64', shape: [classes, 2] }],
          [`${stage}.whitening`, { dtype: 'F64', shape: [2, 2] }],
        ]);
        writeSafetensors(output, Object.fromEntries(tensors), metadata);
        return { stages: stages.map((stage) => ({ stage, width: 2, rank: 2, condition: 1 })) };
      }),
    gaussianScores: ({ sets, stages }: GaussianScoresOptions) =>
      start('distances', () => ({
        scores: sets.map(([file = '']) => {
          const bytes = readFileSync(file);
          const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0))));
          return new Float64Array(header.labels.shape[0] * stages.length);
        }),
      })),
    perturbedGaussians: ({ data, first, count: wanted, magnitudes, output, metadata }: PerturbedGaussiansOptions) =>
      start('perturb', () => {
        const rows = wanted === 0 ? count(handles.get(data) as OpenDataOptions) - first : wanted;
        const scores = { dtype: 'F64' as const, shape: [rows, magnitudes.length, 5] };
        writeSafetensors(output, { labels: { dtype: 'I64', shape: [rows] }, scores }, metadata);
        return { count: rows, seconds: 1 };
      }),
  };
  return fake as unknown as FakeAddon;
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
