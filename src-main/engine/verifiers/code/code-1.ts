/**
 * The `code-1` verifier: runs a completion's program in the sandbox against all tests of its problem; right is what passes every one. Part of
 * the version are the sandbox's limits. docs/sandbox.md
 */
import { RoundoffError } from '#contract/errors.ts';
import { openSandbox, type Program, type Sandbox, type SandboxLimits, type TestRun } from '../../sandbox/index.ts';
import type { Verifier, VerifyInput, VerifyResult } from '../verifier.ts';
import type { CodeTests } from './code-tests.ts';
import { sameJson } from './compare-json.ts';
import { compareOutput, shown } from './compare-output.ts';
import { endsThinking, extractCode } from './extract-code.ts';

/** Its sandbox opens with the first program, and rejects with `sandbox-unavailable` where none can be trusted. */
export function codeVerifier(open: () => Promise<Sandbox>): Verifier {
  let opening: Promise<Sandbox> | null = null;
  const sandbox = () => {
    opening ??= open().catch((error: unknown) => {
      opening = null;
      throw error;
    });
    return opening;
  };
  return {
    name: 'code-1',
    verify: async (input, { signal } = {}) => {
      const readTests = testsOf(input);
      const code = extractCode(input.completion);
      const isCut = input.finishReason === 'length' && (code === null || endsThinking(input.completion));
      if (isCut) return { verdict: 'truncated', extracted: null };
      if (code === null) return { verdict: 'unparsed', extracted: null };
      return runTests(await sandbox(), code, readTests, signal);
    },
  };
}

export const code1 = codeVerifier(() => openSandbox());

function testsOf({ readTests }: VerifyInput): () => CodeTests {
  if (readTests) return readTests;
  const hint = 'Give each problem its tests, or choose another verifier.';
  throw new RoundoffError('bad-input', 'The verifier code-1 judges programs by tests, and this problem has none.', hint);
}

async function runTests(sandbox: Sandbox, code: string, readTests: () => CodeTests, signal?: AbortSignal): Promise<VerifyResult> {
  let tests: CodeTests | null = null;
  let failure: string | null = null;
  let passed = 0;
  // Tests are read once it is the program's turn: those of all that wait would not fit into memory.
  const read = (): Program => {
    tests = readTests();
    return { code, functionName: tests.functionName, inputs: tests.cases.map(({ input }) => input) };
  };
  const onTest = (run: TestRun, index: number): boolean => {
    const different = judge(run, tests!, index, sandbox.limits);
    if (different === null) passed += 1;
    else failure = `test ${index + 1} of ${tests!.cases.length}: ${different}`;
    return different === null;
  };
  const error = await sandbox.run(read, { onTest, ...(signal ? { signal } : {}) });
  if (error !== null) return { verdict: 'incorrect', extracted: code, detail: `the program does not load: ${error}` };
  if (failure !== null) return { verdict: 'incorrect', extracted: code, detail: failure };
  const total = (tests as CodeTests | null)?.cases.length ?? 0;
  if (total > 0 && passed === total) return { verdict: 'correct', extracted: code };
  throw new RoundoffError('internal', `${passed} of ${total} tests were judged.`, 'This is a defect in Roundoff. Please report it.');
}

/** Null for a test that is passed. */
function judge(run: TestRun, { kind, cases }: CodeTests, index: number, limits: SandboxLimits): string | null {
  const { expected } = cases[index]!;
  if (run.outcome === 'stopped') return stopReason(run.reason, limits);
  if (run.outcome === 'flooded') return `more than ${limits.outputBytes / 2 ** 20} MiB of output`;
  if (run.outcome !== 'returned') return run.error ?? 'the interpreter ended';
  if (kind === 'stdin') return compareOutput(expected, run.output);
  if (run.value !== null && sameJson(expected, run.value)) return null;
  return `${shown(run.value ?? '')} instead of ${shown(expected)}`;
}

function stopReason(reason: Extract<TestRun, { outcome: 'stopped' }>['reason'], limits: SandboxLimits): string {
  if (reason === 'time') return `time limit (${limits.testCpuMs / 1000} s of processor time a test, ${limits.totalCpuMs / 1000} s in all)`;
  if (reason === 'memory') return `memory limit (${limits.memoryBytes / 2 ** 20} MiB)`;
  if (reason === 'output') return `more than ${limits.outputBytes / 2 ** 20} MiB of output`;
  return 'the interpreter ended';
}
