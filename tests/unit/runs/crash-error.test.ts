import { describe, expect, it } from 'vitest';
import { crashError, wasKilledFromOutside } from '../../../src-main/runs/crash-error.ts';
import type { WorkerExit } from '../../../src-main/runs/supervisor.ts';

const exit = (change: Partial<WorkerExit>): WorkerExit => ({
  state: 'crashed',
  code: null,
  signal: null,
  reason: null,
  output: '',
  ...change,
});

describe('crashError', () => {
  it('says how the process ended and shows the end of its output', () => {
    const output = Array.from({ length: 50 }, (_, index) => `line ${index}`).join('\n');
    const error = crashError(exit({ code: 7, output }));
    expect(error).toMatchObject({ code: 'worker-crashed' });
    expect(error.message).toContain('exit code 7');
    expect(error.problems).toHaveLength(20);
    expect(error.problems!.at(-1)).toBe('line 49');
    expect(crashError(exit({ signal: 'SIGSEGV' })).message).toContain('SIGSEGV');
    expect(crashError(exit({ signal: 'SIGKILL', reason: 'it did not become ready in time (60 s)' })).message).toContain('ready in time');
  });

  it('recognises memory that ran out', () => {
    const output = 'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory';
    expect(crashError(exit({ signal: 'SIGABRT', output })).code).toBe('out-of-memory');
    expect(crashError(exit({ code: 134, output: "terminate called after throwing an instance of 'std::bad_alloc'" })).code).toBe(
      'out-of-memory',
    );
  });

  it('tells a kill from outside from a kill of its own', () => {
    expect(wasKilledFromOutside(exit({ signal: 'SIGKILL' }))).toBe(true);
    expect(wasKilledFromOutside(exit({ signal: 'SIGKILL', reason: 'it gave no sign of life' }))).toBe(false);
    expect(wasKilledFromOutside(exit({ signal: 'SIGSEGV' }))).toBe(false);
  });
});
