/** Asks a plain Node process, as runs use it, which backends work on this machine. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { BackendStatus, InspectionProblem } from '#contract/records.ts';
import type { BackendPreference } from '#contract/worker.ts';
import { workerEnvironment } from './worker-environment.ts';

export interface ProbeOptions {
  nodeFile: string;
  workerEntry: string;
}

const timeoutMs = 60_000;

/** Never throws: a worker that does not start is a problem of its own. */
export async function probeBackends(options: ProbeOptions): Promise<{ backends: BackendStatus[]; problems: InspectionProblem[] }> {
  const { nodeFile, workerEntry } = options;
  try {
    const { stdout } = await promisify(execFile)(nodeFile, [workerEntry, '--backends'], {
      env: workerEnvironment(process.env),
      timeout: timeoutMs,
      windowsHide: true,
    });
    return { backends: JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as BackendStatus[], problems: [] };
  } catch (error) {
    const message = `The worker process does not start: ${(error as Error).message.split('\n').slice(0, 3).join(' ')}`;
    return { backends: [], problems: [{ severity: 'error', where: workerEntry, message, hint: 'Reinstall Roundoff, or run `npm ci`.' }] };
  }
}

/** The backend that was asked for by name, or that `auto` takes here, and what stands against running on it. */
export async function askedBackend(
  preference: BackendPreference,
  options: ProbeOptions,
): Promise<{ status: BackendStatus | null; problems: InspectionProblem[] }> {
  const { backends, problems } = await probeBackends(options);
  // One that works but is taken only by name says so.
  if (preference === 'auto') return { status: backends.find(({ available, reason }) => available && reason === null) ?? null, problems };
  const status = backends.find(({ name }) => name === preference) ?? null;
  if (!status || status.available) return { status, problems };
  const message = `This backend does not work here: ${status.reason ?? 'no reason is known'}`;
  const hint = 'Choose another backend, or `auto` for the first that works.';
  return { status, problems: [{ severity: 'error', where: `backend ${preference}`, message, hint }] };
}
