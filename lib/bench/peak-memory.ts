/** The most memory that a piece of work takes. */
import { readFileSync, writeFileSync } from 'node:fs';

/** What a peak is of: the work alone, or, where the system cannot begin anew, the process up to now. */
export type PeakOf = 'work' | 'process';

export interface PeakMemory {
  /** Bytes of the whole process. */
  bytes: number;
  of: PeakOf;
}

/** Begins anew, where the system can. The answer says how far the work went, once it is done. */
export function watchPeak(): () => PeakMemory {
  const isReset = resetPeak();
  return () => ({ bytes: (isReset ? linuxPeak() : undefined) ?? processPeak(), of: isReset ? 'work' : 'process' });
}

/** Of the process since it began. */
export function processPeak(): number {
  return process.resourceUsage().maxRSS * 1024;
}

/** Linux sets VmHWM to what the process holds now. See proc(5), clear_refs. */
function resetPeak(): boolean {
  try {
    writeFileSync('/proc/self/clear_refs', '5');
  } catch {
    return false;
  }
  return linuxPeak() !== undefined;
}

function linuxPeak(): number | undefined {
  try {
    const kilobytes = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}
