/** Processor time and memory of a process and its descendants, as Linux tells them. */
import { readFileSync } from 'node:fs';

export interface ProcessUsage {
  cpuMs: number;
  residentBytes: number;
}

/** Null when the process is gone, or on systems without `/proc`. */
export function processUsage(pid: number): ProcessUsage | null {
  const usage = { cpuMs: 0, residentBytes: 0 };
  const pending = [pid];
  let found = false;
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    try {
      const stat = readFileSync(`/proc/${next}/stat`, 'latin1');
      // The name, in brackets, may hold anything; counting starts after it: state is field 3.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      usage.cpuMs += (Number(fields[11]) + Number(fields[12])) * tickMs;
      usage.residentBytes += Number(fields[21]) * pageBytes;
      found = true;
      pending.push(...children(next));
    } catch (error) {
      if (!['ENOENT', 'ESRCH', 'ENOTDIR'].includes((error as { code?: string }).code ?? '')) throw error;
    }
  }
  return found ? usage : null;
}

/** Both are fixed for programs on every Linux that Node supports, whatever the kernel's own settings. */
const tickMs = 10;
const pageBytes = 4096;

function children(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}
