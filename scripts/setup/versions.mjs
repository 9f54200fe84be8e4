/** Reading and comparing the versions that tools print. */

/** `[major, minor, patch]` of the first dotted number in a text, or null. */
export function parseVersion(text) {
  const match = /(\d+)\.(\d+)(?:\.(\d+))?/.exec(text);
  return match === null ? null : [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
}

/** Whether version `a` (text or numbers) is at least `b`. */
export function atLeast(a, b) {
  const left = typeof a === 'string' ? parseVersion(a) : a;
  const right = typeof b === 'string' ? parseVersion(b) : b;
  if (left === null || right === null) return false;
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

/** Family and version of a C++ compiler from the first line of its `--version`, or null where it is neither known one. */
export function parseCompiler(line) {
  const clang = /(Apple )?clang version (\d+\.\d+(?:\.\d+)?)/.exec(line);
  if (clang !== null) {
    const apple = clang[1] !== undefined;
    return { family: apple ? 'Apple clang' : 'clang', version: clang[2], supported: atLeast(clang[2], '14.0') };
  }
  // "g++ (Debian 12.2.0-14) 12.2.0", "g++ (GCC) 14.2.1 20240912 (Red Hat 14.2.1-3)": what is in brackets is the packager's.
  const plain = line.replace(/\([^)]*\)/g, ' ');
  const gnu = /^\S*(?:g\+\+|c\+\+|gcc)\S*\s/.test(plain)
    ? /(\d+\.\d+(?:\.\d+)?)/.exec(plain.replace(/^\S+/, ''))
    : null;
  return gnu === null ? null : { family: 'g++', version: gnu[1], supported: atLeast(gnu[1], '11.0') };
}
