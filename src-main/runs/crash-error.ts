/** What a worker's unexpected end means to the user. */
import type { ErrorInfo } from '#contract/errors.ts';
import type { WorkerExit } from './supervisor.ts';

const shownLines = 20;
/** What V8, the C++ runtime and native libraries print when memory runs out. */
const outOfMemory = /out of memory|bad_alloc|Array buffer allocation failed/i;

/** Neither the worker's own doing nor the supervisor's: the user, the system, or its want of memory. */
export function wasKilledFromOutside({ reason, signal }: WorkerExit): boolean {
  return reason === null && (signal === 'SIGKILL' || signal === 'SIGTERM');
}

/** The error of a run whose worker crashed; `problems` holds the last lines of its output. */
export function crashError(exit: WorkerExit): ErrorInfo {
  const how = exit.reason ?? (exit.signal ? `signal ${exit.signal}` : `exit code ${exit.code}`);
  const kept = 'Finished stages and recorded samples are kept.';
  const info: ErrorInfo = outOfMemory.test(exit.output)
    ? {
        code: 'out-of-memory',
        message: `The worker process ran out of memory (${how}).`,
        hint: `Close other programs, or choose a smaller model or fewer calibration samples, then resume the run. ${kept}`,
      }
    : {
        code: 'worker-crashed',
        message: `The worker process ended unexpectedly: ${how}.`,
        hint: `${wasKilledFromOutside(exit) ? 'It was killed from outside, perhaps for want of memory. ' : ''}Resume the run. ${kept}`,
      };
  return exit.output === '' ? info : { ...info, problems: exit.output.split('\n').slice(-shownLines) };
}
