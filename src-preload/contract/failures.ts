/**
 * How reasoning fails: whether it comes to an end, how long it gets, and where its answers differ from the baseline's.
 */
import type { Interval } from './comparison.ts';
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
