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

export interface Difference {
  field: string;
  a: Json | undefined;
  b: Json | undefined;
}

/** The first field, in sorted order, that differs; undefined where none does. */
export function firstDifference(a: Json | undefined, b: Json | undefined): Difference | undefined {
  return differences(a, b)[0];
}

/** Every field that differs, in sorted order. */
export function differences(a: Json | undefined, b: Json | undefined, path: PropertyKey[] = []): Difference[] {
  if (isMapping(a) && isMapping(b)) {
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort();
    return keys.flatMap((key) => differences(a[key], b[key], [...path, key]));
  }
  const same = a === undefined || b === undefined ? a === b : canonicalJson(a) === canonicalJson(b);
  return same ? [] : [{ field: fieldPath(path), a, b }];
}

function isMapping(value: Json | undefined): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
