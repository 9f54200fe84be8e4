import { ConfigError } from '../config/errors.js';
import { suggestion } from '../config/suggest.js';
import type { Addon, ArchitectureInfo, ArchOptions, TransformOptions } from '../native/contract.js';
import { getAddon } from '../native/load.js';

/** A network's plan: what has to be known, besides the number of classes, to build it and to feed it. */
export interface ModeArch {
  /** Canonical name, for instance `cifar-resnet18`. */
  name: string;
  /** Channels of the first stage. */
  width: number;
  /** `cifar-resnet18`, or `cifar-resnet18-w16` where the width is not the family's: names folders and table rows. */
  id: string;
  /** Probability of dropout while training. */
  dropout: number;
  /** The preprocessing that travels with the architecture. */
  transform: TransformOptions;
}

/** Where architectures are looked up: the addon. */
export type Architectures = Pick<Addon, 'architectures' | 'findArchitecture'>;

export interface ResolveArchSettings {
  /** The flag or field that errors name. */
  where?: string | undefined;
  architectures?: Architectures | undefined;
}

const MAX_WIDTH = 4096;

/**
 * Finds an architecture by name, alias or id, in any case.
 *
 * @param name for instance `cifar-resnet18`, `R18`, `wrn-16-8` or `cifar-resnet18-w16`
 * @param width channels of the first stage; default: the id's, else the family's
 * @throws ConfigError for a name that is not known (with the nearest) and for widths that contradict
 */
export function resolveArch(name: string, width?: number, settings: ResolveArchSettings = {}): ModeArch {
  const { where = 'arch', architectures = getAddon() } = settings;
  const { info, idWidth } = find(name, architectures, where);
  if (idWidth !== undefined && width !== undefined && idWidth !== width) {
    throw new ConfigError(`${where}: "${name}" has a width of ${idWidth}, but a width of ${width} is asked for`);
  }
  const chosen = width ?? idWidth ?? info.width;
  if (!Number.isInteger(chosen) || chosen < 1 || chosen > MAX_WIDTH) {
    throw new ConfigError(`${where}: expected a width from 1 to ${MAX_WIDTH}, found ${chosen}`);
  }
  if (chosen % info.widthStep !== 0) {
    const expected = `expected a width that is a multiple of ${info.widthStep} for ${info.name}`;
    throw new ConfigError(`${where}: ${expected}, found ${chosen}`);
  }
  const id = chosen === info.width ? info.name : `${info.name}-w${chosen}`;
  return { name: info.name, width: chosen, id, dropout: info.dropout, transform: info.transform };
}

/** The network's plan as it crosses to native code. */
export function archOptions({ name, width, dropout }: ModeArch, classes: number): ArchOptions {
  return { name, width, classes, dropout };
}

function find(name: string, architectures: Architectures, where: string) {
  const wanted = name.trim();
  const whole = lookUp(wanted, architectures, where);
  if (whole) return { info: whole, idWidth: undefined };
  const [, family = '', digits = ''] = /^(.+)-w(\d+)$/i.exec(wanted) ?? [];
  const info = family === '' ? null : lookUp(family, architectures, where);
  if (info) return { info, idWidth: Number(digits) };
  const known = architectures.architectures().flatMap((architecture) => [architecture.name, ...architecture.aliases]);
  throw new ConfigError(`${where}: unknown architecture "${name}"; ${suggestion(wanted.toLowerCase(), known)}`);
}

/** Native code knows which members of a family there can be, and says why one cannot. */
function lookUp(name: string, architectures: Architectures, where: string): ArchitectureInfo | null {
  try {
    return architectures.findArchitecture(name);
  } catch (error) {
    throw new ConfigError(`${where}: ${(error as Error).message.replace(/\.$/, '')}`, { cause: error });
  }
}
