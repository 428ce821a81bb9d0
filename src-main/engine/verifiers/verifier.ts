/**
 * What every verifier offers: from a completion and a gold answer to a verdict. Verifiers may compute off the main loop (a thread, a
 * sandbox), so their verdicts are awaited.
 */
import type { FinishReason, Verdict } from '#contract/worker.ts';
import type { CodeTests } from './code/code-tests.ts';

export interface VerifyInput {
  gold: string;
  completion: string;
  finishReason: FinishReason;
  /** Largest distance from the gold number that still counts as right, as some benchmarks give it. */
  tolerance?: number;
  /** What a program has to pass. Called when it is judged, as tests can be large. */
  readTests?(): CodeTests;
}

export interface VerifyResult {
  verdict: Verdict;
  /** What was compared with the gold answer; null when there was nothing to compare. */
  extracted: string | null;
  /** Why the verdict is what it is, where that is not plain from the answer. */
  detail?: string;
}

export interface Verifier {
  /** Name and version, as a protocol records them. */
  readonly name: string;
  /** Verdicts may be asked for side by side. An aborted signal makes it reject with `cancelled`. */
  verify(input: VerifyInput, options?: { signal?: AbortSignal }): Promise<VerifyResult>;
  /** Ends threads and processes it started; the next verdict starts them anew. */
  dispose?(): Promise<void>;
}
