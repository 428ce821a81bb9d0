/**
 * Paired difference in accuracy against the baseline: both answered the same problems with the same seeds, so the difference
 * is taken per problem and its spread over problems gives the interval. As in Agresti & Min 2005 ("Simple improved confidence
 * intervals for comparing matched proportions") two pseudo-problems are added, half a problem gained, half lost and one
 * unchanged, so that two runs that never disagree get an interval with a width instead of false certainty.
 */
import type { Interval, PairedDifference, PairedVerdict } from '#contract/comparison.ts';
import { RoundoffError } from '#contract/errors.ts';
import { averageIntervals } from './accuracy.ts';
import { studentQuantile95 } from './student-t.ts';

/** The pairs of one problem: how many seeds there are and how many turned right or wrong. */
export interface ProblemPair {
  pairs: number;
  /** Right here, wrong in the baseline. */
  gained: number;
  /** Wrong here, right in the baseline. */
  lost: number;
}

/** This accuracy minus the baseline's, with its 95 % interval and the verdict it supports. Throws `numeric` without pairs. */
export function pairedDifference(problems: readonly ProblemPair[]): PairedDifference {
  let pairs = 0;
  let gained = 0;
  let lost = 0;
  for (const problem of problems) {
    pairs += problem.pairs;
    gained += problem.gained;
    lost += problem.lost;
  }
  if (pairs === 0)
    throw new RoundoffError(
      'numeric',
      'A difference over no pairs was asked for.',
      'Evaluate the baseline on the same problems and seeds.',
    );
  const value = (gained - lost) / pairs;
  const interval = differenceInterval(problems, value, pairs);
  return { ...interval, verdict: verdictOf(interval), gained, lost };
}

/** Baseline minus this one, averaged over benchmarks. A positive drop is a loss. Takes the per-benchmark differences. */
export function averageDrop(differences: readonly PairedDifference[]): PairedDifference {
  const mean = averageIntervals(differences);
  const sum = (pick: (difference: PairedDifference) => number) => differences.reduce((total, difference) => total + pick(difference), 0);
  return {
    value: 0 - mean.value,
    low: 0 - mean.high,
    high: 0 - mean.low,
    verdict: verdictOf(mean),
    gained: sum((difference) => difference.gained),
    lost: sum((difference) => difference.lost),
  };
}

function differenceInterval(problems: readonly ProblemPair[], value: number, pairs: number): Interval {
  const count = problems.length;
  // Per-problem differences weighted by their number of pairs; equal to plain means when every problem has every seed.
  const perProblem = pairs / count;
  let sum = 0;
  let squares = 0;
  for (const problem of problems) {
    const difference = (problem.gained - problem.lost) / perProblem;
    sum += difference;
    squares += difference * difference;
  }
  const padded = count + 2;
  const centre = sum / padded;
  const variance = (squares + 1 - (sum * sum) / padded) / (padded * padded);
  const half = studentQuantile95(Math.max(1, count - 1)) * Math.sqrt(variance);
  return { value, low: Math.max(-1, Math.min(value, centre - half)), high: Math.min(1, Math.max(value, centre + half)) };
}

function verdictOf(difference: Interval): PairedVerdict {
  if (difference.low > 0) return 'better';
  return difference.high < 0 ? 'worse' : 'not distinguishable';
}
