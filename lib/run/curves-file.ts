/**
 * curves.json: what the report's charts are made of, kept beside results.json. It names the SHA-256 of the results.json that it
 * belongs to, so that the halves of two runs are never put together.
 */
import { createHash } from 'node:crypto';
import type { Curves } from '../report/index.js';

export const CURVES_FORMAT = 'mode-ensemble curves';
/** Raised whenever an older reader would misread a newer file, or a newer one an older file. */
export const CURVES_VERSION = 1;

/** One line a curve: a file to look into, and yet compact. */
export function curvesJson(curves: Curves, results: string): string {
  const about = { format: CURVES_FORMAT, version: CURVES_VERSION, results: sha256(results) };
  const list = (items: readonly unknown[]) =>
    items.length === 0 ? '[]' : `[\n${items.map((item) => JSON.stringify(item)).join(',\n')}\n]`;
  const heads = Object.entries(about).map(([name, value]) => `"${name}": ${JSON.stringify(value)}`);
  const parts = Object.entries(curves).map(([name, items]) => `"${name}": ${list(items)}`);
  return `{\n${[...heads, ...parts].join(',\n')}\n}\n`;
}

export function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
