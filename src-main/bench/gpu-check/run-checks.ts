/** Runs the registered checks of GPU kernels, one after the other; each answer is known before the next one starts. */
import { toErrorInfo } from '#contract/errors.ts';
import { selectBackend } from '../../engine/backends/select.ts';
import { gpuChecks } from '../../engine/gpu-check/index.ts';

export type CheckAnswer =
  | { check: string; outcome: 'passed' | 'deviates'; maxError: number; tolerance: number }
  | { check: string; outcome: 'not on this device' }
  | { check: string; outcome: 'failed'; reason: string };

/**
 * First the names of those that have the text `named`, so that those a crash leaves out are known; then an answer for each from number `from`. It ends with the first that
 * throws, because a device that rejected a command answers nothing else: the rest is for a new process.
 */
export async function* runChecks(named: string, from: number): AsyncGenerator<{ checks: string[] } | CheckAnswer> {
  const asked = gpuChecks.filter(({ name }) => name.includes(named));
  yield { checks: asked.map(({ name }) => name) };
  await selectBackend('webgpu');
  for (const { name: check, run } of asked.slice(from)) {
    try {
      const result = await run();
      if (result === null) yield { check, outcome: 'not on this device' };
      // JSON has no infinity.
      else
        yield {
          ...{ check, outcome: result.maxError <= result.tolerance ? 'passed' : 'deviates' },
          ...{ maxError: Math.min(result.maxError, Number.MAX_VALUE), tolerance: result.tolerance },
        };
    } catch (error) {
      yield { check, outcome: 'failed', reason: toErrorInfo(error).message };
      return;
    }
  }
}
