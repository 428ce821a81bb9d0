/**
 * How reasoning fails: whether it comes to an end, how long it gets, and where its answers differ from the baseline's.
 */
import type { BenchmarkResult, Interval } from './comparison.ts';
import type { Verdict } from './worker.ts';

/** Closes the part of a completion in which the model thinks. */
export const thinkingEnd = '</think>';

export const failedVerdicts = ['incorrect', 'unparsed', 'truncated'] as const satisfies readonly Verdict[];
export type FailedVerdict = (typeof failedVerdicts)[number];

/** Tokens per completion, by share of completions at or below. */
export interface LengthQuantiles {
  p5: number;
  p25: number;
  p50: number;
  p75: number;
  p95: number;
  max: number;
}

/** Of one run on one benchmark. */
export interface FailureBreakdown {
  samples: number;
  /** Completions whose thinking came to its end mark. */
  thinkingEnded: number;
  /** Completions that reached the token limit, with an answer or without. */
  cutOff: number;
  length: LengthQuantiles;
  /** Null for the baseline, and where it has no sample of the same problem and seed. */
  change: FailureChange | null;
}

/** Against the baseline, over the problems and seeds that both have answered. */
export interface FailureChange {
  pairs: number;
  /** Right in the baseline: what became of them. */
  lostTo: Record<FailedVerdict, number>;
  /** Right here: what they were in the baseline. */
  gainedFrom: Record<FailedVerdict, number>;
  sameVerdict: number;
  /** Pairs in which both gave an answer, and those in which it was the same text. */
  bothAnswered: number;
  sameAnswer: number;
  /** Mean tokens of these completions, and of the baseline's to the same problems. */
  meanTokens: number;
  baselineTokens: number;
  /** The difference of the two with its 95 % interval over problems; null with a single problem. */
  tokens: Interval | null;
}

/** Counts over several benchmarks; means are over completions. */
export interface FailureTotals extends Pick<FailureBreakdown, 'samples' | 'thinkingEnded' | 'cutOff'> {
  verdicts: Record<Verdict, number>;
  meanTokens: number;
  change: Omit<FailureChange, 'tokens'> | null;
}

/** Null without a completion. `change` covers the benchmarks that have one. */
export function failureTotals(results: readonly Pick<BenchmarkResult, 'verdicts' | 'meanTokens' | 'failures'>[]): FailureTotals | null {
  const samples = sumOf(results, ({ failures }) => failures.samples);
  if (samples === 0) return null;
  const changes = results.flatMap(({ failures }) => failures.change ?? []);
  const count = (verdict: Verdict) => sumOf(results, ({ verdicts }) => verdicts[verdict]);
  return {
    samples,
    thinkingEnded: sumOf(results, ({ failures }) => failures.thinkingEnded),
    cutOff: sumOf(results, ({ failures }) => failures.cutOff),
    verdicts: { correct: count('correct'), incorrect: count('incorrect'), unparsed: count('unparsed'), truncated: count('truncated') },
    meanTokens: sumOf(results, ({ meanTokens, failures }) => meanTokens * failures.samples) / samples,
    change: changes.length > 0 ? changeTotals(changes) : null,
  };
}

/** How many of the pairs were lost, or gained. */
export function failedCount(counts: Record<FailedVerdict, number>): number {
  return sumOf(failedVerdicts, (verdict) => counts[verdict]);
}

function changeTotals(changes: readonly FailureChange[]): Omit<FailureChange, 'tokens'> {
  const pairs = sumOf(changes, (change) => change.pairs);
  const failed = (key: 'lostTo' | 'gainedFrom') => ({
    incorrect: sumOf(changes, (change) => change[key].incorrect),
    unparsed: sumOf(changes, (change) => change[key].unparsed),
    truncated: sumOf(changes, (change) => change[key].truncated),
  });
  return {
    pairs,
    lostTo: failed('lostTo'),
    gainedFrom: failed('gainedFrom'),
    sameVerdict: sumOf(changes, (change) => change.sameVerdict),
    bothAnswered: sumOf(changes, (change) => change.bothAnswered),
    sameAnswer: sumOf(changes, (change) => change.sameAnswer),
    meanTokens: sumOf(changes, (change) => change.meanTokens * change.pairs) / pairs,
    baselineTokens: sumOf(changes, (change) => change.baselineTokens * change.pairs) / pairs,
  };
}

function sumOf<T>(items: readonly T[], pick: (item: T) => number): number {
  return items.reduce((sum, item) => sum + pick(item), 0);
}
