/** Tar archives by hand, right ones and others. */

export interface TarEntry {
  name: string;
  content?: Buffer;
  /** Type flag; '0' is a file. */
  type?: string;
  /** The size that the header tells; default: the content's. */
  size?: number | Buffer;
  link?: string;
  prefix?: string;
  /** `ustar\0` + `00` for POSIX, `ustar  \0` for GNU's older format, 8 zeros for what came before both. */
  magic?: string;
  /** Added to the right checksum. */
  checksumOff?: number;
}

const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);

export function tarHeader(entry: TarEntry): Buffer {
  const header = Buffer.alloc(512);
  const size = entry.size ?? entry.content?.length ?? 0;
  header.write(entry.name, 0, 100, 'latin1');
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  if (typeof size === 'number') header.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  else size.copy(header, 124);
  header.write('00000000000\0', 136);
  header.write('        ', 148);
  header.write(entry.type ?? '0', 156, 1, 'latin1');
  header.write(entry.link ?? '', 157, 100, 'latin1');
  header.write(entry.magic ?? 'ustar\x0000', 257, 8, 'latin1');
  header.write(entry.prefix ?? '', 345, 155, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, entry.checksumOff ?? 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

export const tarMember = (entry: TarEntry): Buffer =>
  Buffer.concat([tarHeader(entry), padded(entry.content ?? Buffer.alloc(0))]);

export const TAR_END = Buffer.alloc(1024);

export const makeTar = (entries: TarEntry[], end = TAR_END): Buffer => Buffer.concat([...entries.map(tarMember), end]);

/** A pax header for the next member. */
export function pax(records: Record<string, string>): TarEntry {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = Buffer.byteLength(` ${key}=${value}\n`);
    let length = rest;
    while (length !== rest + String(length).length) length = rest + String(length).length;
    return `${length} ${key}=${value}\n`;
  });
  return { name: 'PaxHeaders/x', type: 'x', content: Buffer.from(lines.join('')) };
}
