/** What a missing piece is called in each system's package manager, and how it is installed. */
import { existsSync } from 'node:fs';
import { run, toolEnvironment, which } from './process.mjs';

export const PIECES = {
  compiler: { what: 'a C++20 compiler (g++ 11 or newer, or clang 14)', apt: 'g++', dnf: 'gcc-c++', brew: null },
  cmake: { what: 'CMake 3.18 or newer', apt: 'cmake', dnf: 'cmake', brew: 'cmake' },
  make: { what: 'Ninja or make', apt: 'ninja-build', dnf: 'ninja-build', brew: 'ninja' },
  python: { what: 'Python 3', apt: 'python3', dnf: 'python3', brew: 'python3' },
  pip: { what: "Python's pip", apt: 'python3-pip', dnf: 'python3-pip', brew: 'python3' },
  jpeg: { what: "libjpeg-turbo's headers", apt: 'libjpeg-dev', dnf: 'libjpeg-turbo-devel', brew: 'jpeg-turbo' },
  png: { what: "libpng's headers", apt: 'libpng-dev', dnf: 'libpng-devel', brew: 'libpng' },
  zlib: { what: "zlib's headers", apt: 'zlib1g-dev', dnf: 'zlib-devel', brew: 'zlib' },
};

const COMMANDS = {
  apt: { install: 'apt-get install -y', before: 'apt-get update && ', root: true },
  dnf: { install: 'dnf install -y', before: '', root: true },
  brew: { install: 'brew install', before: '', root: false },
};

/** Which package manager this machine has: 'apt', 'dnf', 'brew', or null. */
export function packageManager() {
  if (which('apt-get') !== null) return 'apt';
  if (which('dnf') !== null) return 'dnf';
  if (which('brew') !== null) return 'brew';
  return null;
}

export function installCommand(manager, pieces, { root = process.getuid?.() === 0 } = {}) {
  const names = [...new Set(pieces.map((piece) => PIECES[piece][manager]))];
  const command = COMMANDS[manager];
  const sudo = command.root && !root ? 'sudo ' : '';
  // On a Mac the compiler is Apple's, which comes by a command of its own.
  if (names.includes(null)) {
    const others = names.filter((name) => name !== null).join(' ');
    return `xcode-select --install${others === '' ? '' : ` && ${command.install} ${others}`}`;
  }
  return `${command.before === '' ? '' : `${sudo}${command.before}`}${sudo}${command.install} ${names.join(' ')}`;
}

/** One sentence: what is missing and the command that installs it. */
export function missingSentence(pieces, manager = packageManager(), options = {}) {
  const what = pieces.map((piece) => PIECES[piece].what);
  const list = what.length === 1 ? what[0] : `${what.slice(0, -1).join(', ')} and ${what.at(-1)}`;
  const managers = manager === null ? Object.keys(COMMANDS) : [manager];
  const commands = managers.map((name) => {
    const command = installCommand(name, pieces, options);
    return managers.length === 1 ? `\`${command}\`` : `\`${command}\` (${name})`;
  });
  return `Missing: ${list}. Install with ${commands.join(', or ')}, then run set-up again.`;
}

/** Set-up installs system packages itself only where that asks nobody anything: as root on Debian and its kin. */
export function canInstall() {
  return process.getuid?.() === 0 && existsSync('/etc/debian_version') && which('apt-get') !== null;
}

/** Installs with apt-get; true where it succeeded. Its words go to `log`. */
export async function aptInstall(pieces, { log, onStart }) {
  const names = [...new Set(pieces.map((piece) => PIECES[piece].apt))];
  const env = toolEnvironment({ DEBIAN_FRONTEND: 'noninteractive' });
  const wait = ['-o', 'DPkg::Lock::Timeout=120'];
  // An update that fails (one dead source among many) does not rule out that the packages are to be had.
  await run('apt-get', [...wait, 'update'], { env, log, onStart });
  const args = [...wait, 'install', '-y', '--no-install-recommends', ...names];
  const { code } = await run('apt-get', args, { env, log, onStart });
  return code === 0;
}
