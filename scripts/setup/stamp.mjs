/** Hashes of what a step was made from, and the small records that say with which hash it was made. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** All files under `folders` (or the files themselves) below `root`, sorted; `accept` judges the relative name. */
export function listFiles(root, folders, accept = () => true) {
  const found = [];
  const visit = (relative) => {
    let entries;
    try {
      entries = readdirSync(path.join(root, relative), { withFileTypes: true });
    } catch (error) {
      if (error.code === 'ENOTDIR' && accept(relative)) found.push(relative);
      return;
    }
    for (const entry of entries) {
      const name = `${relative}/${entry.name}`;
      if (entry.isDirectory()) visit(name);
      else if (accept(name)) found.push(name);
    }
  };
  for (const folder of folders) visit(folder);
  return found.sort();
}

/** SHA-256 over names and contents, and over `facts` (any JSON); lengths keep neighbours from running together. */
export function hashInputs(root, files, facts = {}) {
  const hash = createHash('sha256');
  hash.update(JSON.stringify(facts));
  for (const file of files) {
    let content;
    try {
      content = readFileSync(path.join(root, file));
    } catch {
      content = Buffer.from('\0absent');
    }
    hash.update(`\0${file}\0${content.length}\0`);
    hash.update(content);
  }
  return hash.digest('hex');
}

export function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}

/** Written under another name and renamed: a record that is there is whole. */
export function writeJson(file, value) {
  mkdirSync(path.dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(temporary, file);
}
