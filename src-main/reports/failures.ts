/**
 * The failure breakdown of one run on one benchmark, from its samples and the baseline's of the same problems and seeds.
 */
import { type FailedVerdict, type FailureBreakdown, type FailureChange, failedVerdicts, type LengthQuantiles } from '#contract/failures.ts';
import type { FinishReason, Verdict } from '#contract/worker.ts';
import { meanInterval } from '../engine/statistics/index.ts';

/** What is kept of a sample. */
export interface Answer {
  verdict: Verdict;
  tokens: number;
  finishReason: FinishReason;
  thinkingEnded: boolean;
  extracted: string | null;
}

/** Problem → protocol seed → answer, in the order in which sums are to be taken. */
export type OrderedAnswers = readonly (readonly [problemId: string, answers: ReadonlyMap<number, Answer>])[];

export function failureBreakdown(
  own: OrderedAnswers,
  baseline: ReadonlyMap<string, ReadonlyMap<number, Answer>> | undefined,
): FailureBreakdown {
  const answers = own.flatMap(([, seeds]) => [...seeds.values()]);
  return {
    samples: answers.length,
    thinkingEnded: answers.filter((answer) => answer.thinkingEnded).length,
    cutOff: answers.filter((answer) => answer.finishReason === 'length').length,
    length: lengthQuantiles(answers.map((answer) => answer.tokens)),
    change: baseline ? failureChange(own, baseline) : null,
  };
}

function failureChange(own: OrderedAnswers, baseline: ReadonlyMap<string, ReadonlyMap<number, Answer>>): FailureChange | null {
  const counts = { pairs: 0, sameVerdict: 0, bothAnswered: 0, sameAnswer: 0 };
  const lostTo = noFailures();
  const gainedFrom = noFailures();
  const differences: number[] = [];
  let before = 0;
  let after = 0;
  for (const [problemId, seeds] of own) {
    const reference = baseline.get(problemId);
    const lengths: number[] = [];
    for (const [seed, answer] of seeds) {
      const other = reference?.get(seed);
      if (!other) continue;
      counts.pairs += 1;
      before += other.tokens;
      after += answer.tokens;
      lengths.push(answer.tokens - other.tokens);
      if (answer.verdict === other.verdict) counts.sameVerdict += 1;
      if (answer.extracted !== null && other.extracted !== null) counts.bothAnswered += 1;
      if (answer.extracted !== null && answer.extracted === other.extracted) counts.sameAnswer += 1;
      if (other.verdict === 'correct' && answer.verdict !== 'correct') lostTo[answer.verdict] += 1;
      if (other.verdict !== 'correct' && answer.verdict === 'correct') gainedFrom[other.verdict] += 1;
    }
    if (lengths.length > 0) differences.push(lengths.reduce((sum, length) => sum + length, 0) / lengths.length);
  }
  if (counts.pairs === 0) return null;
  const means = { meanTokens: after / counts.pairs, baselineTokens: before / counts.pairs };
  return { ...counts, lostTo, gainedFrom, ...means, tokens: meanInterval(differences) };
}

/** Nearest rank: every figure is the length of a completion that exists. */
export function lengthQuantiles(lengths: readonly number[]): LengthQuantiles {
  const sorted = Float64Array.from(lengths).sort();
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
  return { p5: at(0.05), p25: at(0.25), p50: at(0.5), p75: at(0.75), p95: at(0.95), max: sorted.at(-1)! };
}

function noFailures(): Record<FailedVerdict, number> {
  return Object.fromEntries(failedVerdicts.map((verdict) => [verdict, 0])) as Record<FailedVerdict, number>;
}
