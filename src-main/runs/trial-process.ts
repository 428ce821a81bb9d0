/** Starts a trial's process, hands it its request and follows what it prints. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fromErrorInfo, RoundoffError } from '#contract/errors.ts';
import type { TrialMessage, TrialOutcome, TrialRequest } from '#contract/preflight.ts';
import { crashError } from './crash-error.ts';
import { OutputTail } from './output-tail.ts';
import type { ProbeOptions } from './probe-backends.ts';
import { workerEnvironment } from './worker-environment.ts';

export interface TrialProcessOptions extends ProbeOptions {
  signal: AbortSignal;
  onProgress(detail: string): void;
}

/**
 * Ends the process at once on abort.
 * @throws RoundoffError what the stages threw, `cancelled`, `worker-crashed`
 */
export async function runTrialProcess(request: TrialRequest, options: TrialProcessOptions): Promise<TrialOutcome> {
  const { nodeFile, workerEntry, signal } = options;
  const child = spawn(nodeFile, [workerEntry, '--trial'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: workerEnvironment(process.env),
    windowsHide: true,
  });
  const output = new OutputTail();
  let last: Exclude<TrialMessage, { type: 'progress' }> | null = null;
  let startFailure: string | null = null;
  const kill = () => child.kill('SIGKILL');
  signal.addEventListener('abort', kill, { once: true });
  if (signal.aborted) kill();
  child.stderr.on('data', (bytes: Buffer) => output.push(bytes));
  child.stdin.on('error', () => undefined);
  child.stdin.write(`${JSON.stringify(request)}\n`);
  createInterface({ input: child.stdout }).on('line', (line) => {
    const message = JSON.parse(line) as TrialMessage;
    if (message.type === 'progress') options.onProgress(`${message.title}: ${message.detail}`);
    else last = message;
  });
  const [code, by] = await new Promise<[number | null, string | null]>((resolve) => {
    child.on('error', (error) => {
      startFailure = `the process could not be started: ${error.message}`;
      if (child.pid === undefined) resolve([null, null]);
    });
    child.on('close', (exitCode, exitSignal) => resolve([exitCode, exitSignal]));
  });
  signal.removeEventListener('abort', kill);
  if (signal.aborted) throw new RoundoffError('cancelled', 'The trial was cancelled.', 'Start it again when you are ready.');
  const end = last as Exclude<TrialMessage, { type: 'progress' }> | null;
  if (end?.type === 'outcome') return end.outcome;
  if (end) throw fromErrorInfo(end.error);
  throw fromErrorInfo(crashError({ state: 'crashed', code, signal: by, reason: startFailure, output: output.text() }));
}
