import { basename, dirname, extname, resolve } from 'node:path';

/** A checkpoint that is to be named. */
export interface Nameable {
  file: string;
  /** The seed that it says; undefined where it says none. */
  seed: number | undefined;
  /** Id of its architecture. */
  arch: string;
}

/**
 * Names of checkpoints in results: by seed, by architecture and seed, by file, by folder and file, or by the whole path; the
 * first way that tells all apart.
 */
export function memberNames(all: readonly Nameable[]): string[] {
  // Checkpoints of PyTorch's example programs end with two suffixes.
  const stem = (file: string) => basename(file, /\.pth\.tar$/i.exec(file)?.[0] ?? extname(file));
  const folder = (file: string) => basename(dirname(resolve(file)));
  // Modes of the paper's code lie in folders such as save/CIFAR10/R18/seed-1000.
  const seedOf = ({ seed, file }: Nameable) =>
    seed === undefined ? /^seed-(\d+)$/.exec(folder(file))?.[1] : `${seed}`;
  const ways: ((one: Nameable) => string | undefined)[] = [
    seedOf,
    (one) => seedOf(one) && `${one.arch}-${seedOf(one)}`,
    ({ file }) => (stem(file) === 'checkpoint' ? folder(file) : stem(file)),
    ({ file }) => `${folder(file)}-${stem(file)}`,
    ({ file }) => resolve(file).replaceAll(/[/\\]+/g, '-'),
  ];
  const isDistinct = (names: (string | undefined)[]): names is string[] =>
    !names.includes(undefined) && new Set(names).size === names.length;
  // `+` joins members in results.
  const named = ways.map((way) => all.map((one) => way(one)?.replaceAll('+', '_')));
  return named.find(isDistinct) ?? all.map((_, index) => String(index + 1));
}
