/** A trial's process: its request is the first line it reads, its progress and outcome are lines it prints; it ends when its input closes. */
import { createInterface } from 'node:readline';
import { toErrorInfo } from '#contract/errors.ts';
import type { TrialMessage, TrialRequest } from '#contract/preflight.ts';
import { explainGpuError } from '../engine/backends/select.ts';
import { runTrial } from './trial.ts';

const progressMs = 200;

export async function serveTrial(): Promise<void> {
  const controller = new AbortController();
  const lines = createInterface({ input: process.stdin });
  const request = await new Promise<TrialRequest | null>((resolve) => {
    lines.once('line', (line) => resolve(JSON.parse(line) as TrialRequest));
    lines.once('close', () => {
      resolve(null);
      controller.abort();
    });
  });
  if (!request) return;
  let lastAt = 0;
  const onProgress = (title: string, detail: string) => {
    if (performance.now() - lastAt < progressMs) return;
    lastAt = performance.now();
    void print({ type: 'progress', title, detail });
  };
  try {
    await print({ type: 'outcome', outcome: await runTrial(request, { signal: controller.signal, onProgress }) });
  } catch (error) {
    await print({ type: 'failed', error: toErrorInfo(await explainGpuError(error)) });
  }
}

function print(message: TrialMessage): Promise<void> {
  return new Promise((resolve) => process.stdout.write(`${JSON.stringify(message)}\n`, () => resolve()));
}
