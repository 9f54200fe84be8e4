/** What runs in the page: Vega, its interpreter of expressions, and our own script. All of it is text in the page. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { ModeEnsembleError } from '../config/errors.js';
import { ioError } from '../config/files.js';

/** Scripts in the order in which they run. Only these may run, since the page names their hashes. */
export interface Runtime {
  scripts: readonly { code: string; isModule: boolean }[];
  /** As Content-Security-Policy wants it: `'sha256-…' 'sha256-…'`. */
  hashes: string;
}

let loaded: Promise<Runtime> | undefined;

/** @throws ModeEnsembleError E_IO where a file of the installation is missing */
export function loadRuntime(): Promise<Runtime> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<Runtime> {
  const [vega, interpreter, client] = await Promise.all([
    readText(new URL('vega.min.js', import.meta.resolve('vega'))),
    readText(new URL(import.meta.resolve('vega-interpreter'))),
    readText(new URL('page/client.js', import.meta.url)),
  ]);
  const scripts = [
    { code: vega.trim(), isModule: false },
    { code: `${interpreterScript(interpreter)}\n${withoutMap(client)}`, isModule: true },
  ];
  for (const { code } of scripts) requireEmbeddable(code);
  const hashes = scripts.map(({ code }) => `'sha256-${createHash('sha256').update(code).digest('base64')}'`);
  return { scripts, hashes: hashes.join(' ') };
}

async function readText(url: URL): Promise<string> {
  const path = fileURLToPath(url);
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw ioError(error, path, 'read');
  }
}

/**
 * Vega makes functions of the expressions in a specification with `Function`, which a strict policy forbids. Its interpreter
 * does without, but comes only as a module that imports from vega-util; all of vega-util is in Vega's own bundle.
 */
export function interpreterScript(module: string): string {
  const names = (list: string) => list.replace(/(\w+) as (\w+)/g, '$1: $2');
  const exported = (list: string) =>
    list.replace(/(\w+)(?: as (\w+))?/g, (_, inner: string, outer = inner) => `${outer}: ${inner}`);
  const script = withoutMap(module)
    .replace(
      /import\s*\{([^}]*)\}\s*from\s*['"]vega-util['"];?/g,
      (_, list: string) => `const {${names(list)}} = vega;`,
    )
    .replace(/export\s*\{([^}]*)\};?/g, (_, list: string) => `Object.assign(vega, {${exported(list)}});`);
  if (/^\s*(import|export)\b/m.test(script)) {
    throw new ModeEnsembleError(
      'E_IO',
      'vega-interpreter is of another form than expected: a module that imports from vega-util alone; run npm ci for the version of package-lock.json.',
    );
  }
  return `{\n${script.trim()}\n}`;
}

function withoutMap(code: string): string {
  return code.replace(/^\/\/# sourceMappingURL=.*$/gm, '').trim();
}

/** A script element ends at the first `</script`, wherever that stands, and `<!--` changes how it is read. */
function requireEmbeddable(code: string): void {
  const found = /<\/script|<!--/i.exec(code)?.[0];
  if (found === undefined) return;
  throw new ModeEnsembleError('E_IO', `A script of the report holds "${found}", which cannot stand in a page.`);
}

/** JSON that can stand in a script element: what begins a tag or a comment is written as an escape. */
export function embeddableJson(value: unknown): string {
  return JSON.stringify(value)
    .replaceAll('<', '\\u003c')
    .replaceAll('\u2028', '\\u2028')
    .replaceAll('\u2029', '\\u2029');
}
