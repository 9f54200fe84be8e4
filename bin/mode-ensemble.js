#!/usr/bin/env node
import { existsSync } from 'node:fs';

const main = new URL('../dist/lib/cli/main.js', import.meta.url);
if (existsSync(main)) await (await import(main.href)).main(process.argv);
else {
  console.error('mode-ensemble: not built yet; run `npm run setup` in the folder of the package.');
  process.exitCode = 1;
}
