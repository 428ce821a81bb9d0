/** What this machine offers and what is missing. Backends are probed in a plain Node process, as runs use them. */
import { existsSync, readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import type { DoctorReport, InspectionProblem } from '#contract/records.ts';
import { probeBackends } from '../runs/probe-backends.ts';

export interface DoctorOptions {
  version: string;
  nodeFile: string;
  workerEntry: string;
  /** The disk of this folder is looked at. */
  dir: string;
}

const lowDiskBytes = 2e9;
const lowMemoryBytes = 2e9;

export async function doctor(options: DoctorOptions): Promise<DoctorReport> {
  const [probe, disk] = await Promise.all([probeBackends(options), statfs(options.dir)]);
  const report: DoctorReport = {
    version: options.version,
    node: process.version,
    platform: `${os.type()} ${os.release().split('-')[0]} ${os.arch()}`,
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    freeMemoryBytes: os.freemem(),
    freeDiskBytes: disk.bavail * disk.bsize,
    electron: electronVersion(),
    backends: probe.backends,
    problems: probe.problems,
  };
  if (report.freeDiskBytes < lowDiskBytes)
    report.problems.push(warning(options.dir, 'Less than 2 GB of disk space are free.', 'Free some space before a large study.'));
  if (report.memoryBytes < lowMemoryBytes)
    report.problems.push(warning('memory', 'This machine has less than 2 GB of memory.', 'Only very small models will fit.'));
  return report;
}

/** Of the running Electron, or of the installed one whose binary is there. */
function electronVersion(): string | null {
  if (process.versions.electron) return process.versions.electron;
  try {
    const manifest = createRequire(import.meta.url).resolve('electron/package.json');
    if (!existsSync(path.join(path.dirname(manifest), 'path.txt'))) return null;
    return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
  } catch {
    return null;
  }
}

function warning(where: string, message: string, hint: string): InspectionProblem {
  return { severity: 'warning', where, message, hint };
}
