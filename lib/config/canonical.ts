import { createHash } from 'node:crypto';
import { fieldPath } from './describe.js';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** JSON with sorted keys and no spaces: equal values give equal bytes. */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const entries = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key] as Json)}`);
  return `{${entries.join(',')}}`;
}

/** SHA-256, in hex, of the canonical JSON. */
export function canonicalHash(value: Json): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex');
}

/** The first field, in sorted order, that differs; undefined where none does. */
export function firstDifference(
  a: Json | undefined,
  b: Json | undefined,
  path: PropertyKey[] = [],
): { field: string; a: Json | undefined; b: Json | undefined } | undefined {
  if (isMapping(a) && isMapping(b)) {
    for (const key of [...new Set([...Object.keys(a), ...Object.keys(b)])].sort()) {
      const difference = firstDifference(a[key], b[key], [...path, key]);
      if (difference) return difference;
    }
    return undefined;
  }
  const same = a === undefined || b === undefined ? a === b : canonicalJson(a) === canonicalJson(b);
  return same ? undefined : { field: fieldPath(path), a, b };
}

function isMapping(value: Json | undefined): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
