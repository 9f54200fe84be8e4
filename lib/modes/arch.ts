import { ConfigError } from '../config/errors.js';
import { suggestion } from '../config/suggest.js';
import type { ArchitectureInfo } from '../native/contract.js';
import { getAddon } from '../native/load.js';

/** A network's plan: what has to be known, besides the number of classes, to build it and to feed it. */
export interface ModeArch {
  /** Canonical name, for instance `cifar-resnet18`. */
  name: string;
  /** Channels of the first stage. */
  width: number;
  /** `cifar-resnet18`, or `cifar-resnet18-w16` where the width is not the family's: names folders and table rows. */
  id: string;
  /** Side of the square input, in pixels. */
  inputSize: number;
  /** Preprocessing, on pixels in [0, 1]. */
  mean: [number, number, number];
  std: [number, number, number];
}

export interface ResolveArchSettings {
  /** The flag or field that errors name. */
  where?: string | undefined;
  architectures?: readonly ArchitectureInfo[] | undefined;
}

const MAX_WIDTH = 4096;

/**
 * Finds an architecture by name, alias or id, in any case.
 *
 * @param name for instance `cifar-resnet18`, `R18` or `cifar-resnet18-w16`
 * @param width channels of the first stage; default: the id's, else the family's
 * @throws ConfigError for a name that is not known (with the nearest) and for widths that contradict
 */
export function resolveArch(name: string, width?: number, settings: ResolveArchSettings = {}): ModeArch {
  const { where = 'arch', architectures = getAddon().architectures() } = settings;
  const { info, idWidth } = find(name, architectures, where);
  if (idWidth !== undefined && width !== undefined && idWidth !== width) {
    throw new ConfigError(`${where}: "${name}" has a width of ${idWidth}, but a width of ${width} is asked for`);
  }
  const chosen = width ?? idWidth ?? info.width;
  if (!Number.isInteger(chosen) || chosen < 1 || chosen > MAX_WIDTH) {
    throw new ConfigError(`${where}: expected a width from 1 to ${MAX_WIDTH}, found ${chosen}`);
  }
  const id = chosen === info.width ? info.name : `${info.name}-w${chosen}`;
  return { name: info.name, width: chosen, id, inputSize: info.inputSize, mean: info.mean, std: info.std };
}

function find(name: string, architectures: readonly ArchitectureInfo[], where: string) {
  const lower = name.trim().toLowerCase();
  const byName = (wanted: string) =>
    architectures.find((info) => [info.name, ...info.aliases].some((known) => known.toLowerCase() === wanted));
  const whole = byName(lower);
  if (whole) return { info: whole, idWidth: undefined };
  const [, family = '', digits = ''] = /^(.+)-w(\d+)$/.exec(lower) ?? [];
  const info = byName(family);
  if (info) return { info, idWidth: Number(digits) };
  const known = architectures.flatMap((architecture) => [architecture.name, ...architecture.aliases]);
  throw new ConfigError(`${where}: unknown architecture "${name}"; ${suggestion(lower, known)}`);
}
