import { z } from 'zod';
import { describe, fieldPath } from './describe.js';
import { ConfigError } from './errors.js';
import { suggestion } from './suggest.js';

/**
 * Checks a value against a schema and fills in the defaults.
 *
 * @param where what the sentence begins with: a file, or a flag
 * @throws ConfigError with one sentence on the first fault: `where: train.epochs: expected …, found …`
 */
export function check<Schema extends z.ZodType>(schema: Schema, value: unknown, where: string): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  // A mistyped key also leaves the right one missing; the mistyped key is the cause.
  const issues = result.error.issues;
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0];
  throw new ConfigError(issue ? sentence(schema, value, where, issue) : `${where}: cannot be used`);
}

/** A flag's text as the value it stands for: numbers become numbers, all else stays text. */
export function checkText<Schema extends z.ZodType>(schema: Schema, text: string, flag: string): z.output<Schema> {
  const isNumber = text.trim() !== '' && Number.isFinite(Number(text));
  return check(schema, isNumber ? Number(text) : text, flag);
}

/** A flag's comma-separated text as a list. */
export function checkList<Schema extends z.ZodType>(schema: Schema, text: string, flag: string): z.output<Schema> {
  const items = text.split(',').map((item) => item.trim());
  const values = items.map((item) => (item !== '' && Number.isFinite(Number(item)) ? Number(item) : item));
  return check(schema, values, flag);
}

function sentence(schema: z.ZodType, value: unknown, where: string, issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    return join(where, [...issue.path, key], `unknown key; ${suggestion(key, keysAt(schema, issue.path))}`);
  }
  if (issue.code === 'custom' && issue.params?.isSentence) return join(where, issue.path, issue.message);
  return join(where, issue.path, `expected ${issue.message}, found ${describe(valueAt(value, issue.path))}`);
}

function join(where: string, path: readonly PropertyKey[], text: string): string {
  if (path.length === 0) return `${where}: ${text}`;
  const field = fieldPath(path);
  return field.startsWith('[') ? `${where}${field}: ${text}` : `${where}: ${field}: ${text}`;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key], value);
}

function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let inner: z.ZodType | undefined = schema;
  for (const key of path) inner = shapeOf(inner)?.[String(key)];
  return Object.keys(shapeOf(inner) ?? {});
}

/** The fields of an object schema, through the wrappers that fill in what is not given. */
function shapeOf(schema: z.ZodType | undefined): Record<string, z.ZodType> | undefined {
  if (schema instanceof z.ZodObject) return schema.shape as Record<string, z.ZodType>;
  if (schema instanceof z.ZodPipe) return shapeOf(schema.in as z.ZodType);
  if (schema instanceof z.ZodPrefault || schema instanceof z.ZodDefault || schema instanceof z.ZodOptional) {
    return shapeOf(schema.unwrap() as z.ZodType);
  }
  return undefined;
}
