/** Modes that somebody else has trained, in the layout in which they keep them. */
import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';

export interface GivenPlace {
  /** For instance `save/CIFAR10/{arch}/seed-{seed}/epoch150.pth`. */
  pattern: string;
  /** As the experiment writes it. */
  arch: string;
  seed: number;
  /** Where else a relative path may begin, besides the current folder. */
  root: string;
}

/** The paths at which the mode may be. */
export function givenPaths({ pattern, arch, seed, root }: GivenPlace): string[] {
  const path = pattern.replaceAll('{arch}', arch).replaceAll('{seed}', String(seed));
  return isAbsolute(path) ? [path] : [path, join(root, path)];
}

/** Where the mode is; undefined where it is in none of the places. */
export function findGiven(place: GivenPlace): string | undefined {
  return givenPaths(place).find((path) => existsSync(path));
}
