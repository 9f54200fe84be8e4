/** What the checks of single fields are made of. Every message is the text after "expected", see schema.ts. */
import { z } from 'zod';

export function whole(from: number, to: number, text: string) {
  return z.int({ error: text }).min(from, text).max(to, text);
}

export function count(from = 1) {
  return whole(from, Number.MAX_SAFE_INTEGER, `a whole number of at least ${from}`);
}

export function flag() {
  return z.boolean({ error: 'true or false' });
}

/** A number above 0. */
export function positive() {
  return z.number({ error: 'a number above 0' }).positive('a number above 0');
}

export function atLeast0() {
  return z.number({ error: 'a number of at least 0' }).min(0, 'a number of at least 0');
}

/** From 0 to 1; `below`: 1 is too much. */
export function share(below = false) {
  const text = below ? 'a number from 0 to below 1' : 'a number from 0 to 1';
  const number = z.number({ error: text }).min(0, text);
  return below ? number.lt(1, text) : number.max(1, text);
}

export function oneOf<const Names extends readonly [string, string, ...string[]]>(names: Names) {
  const list = `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
  return z.enum(names as unknown as { [Name in Names[number]]: Name }, { error: list });
}

/** Two rising numbers above 0. */
export function range(text: string, most: number) {
  const item = z.number({ error: text }).gt(0, text).max(most, text);
  return z.tuple([item, item], { error: text }).refine(([from, to]) => from <= to, text);
}
