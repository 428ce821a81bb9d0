/** Judges drawn code problems with `code-1`, reading their tests from rows as the benchmark does. */
import { parseLiveCodeBenchTests } from '../../src-main/engine/benchmarks/live-code-bench.ts';
import { openSandbox } from '../../src-main/engine/sandbox/index.ts';
import { codeVerifier } from '../../src-main/engine/verifiers/code/code-1.ts';
import type { LabelledProblem } from './code-problems.ts';

const limits = { testCpuMs: 2000, testWallMs: 60_000, memoryBytes: 256 * 2 ** 20, outputBytes: 2 ** 20 };

/** A line for each problem whose verdict, or what is said about it, is another than expected. */
export async function judgeCodeProblems(problems: readonly LabelledProblem[]): Promise<string[]> {
  const verifier = codeVerifier(() => openSandbox({ limits }));
  const misses = problems.map(async ({ row, kind, mistake, completion, finishReason, verdict, detail }) => {
    const readTests = () => parseLiveCodeBenchTests(row, String(row.question_id));
    const got = await verifier.verify({ gold: '', completion, finishReason, readTests });
    if (got.verdict === verdict && (detail === null ? got.detail === undefined : detail.test(got.detail ?? ''))) return [];
    return [`${row.question_id} (${kind}, ${mistake ?? 'right'}): ${got.verdict}, ${got.detail} instead of ${verdict}, ${detail}`];
  });
  return (await Promise.all(misses)).flat();
}
