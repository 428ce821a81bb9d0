/**
 * Accuracy with a 95 % interval when every problem is answered once per seed. Answers to one problem are alike, so problems,
 * not samples, are the independent units: the variance is the cluster-robust one, turned into an effective number of samples
 * for a Wilson score interval (Dean & Pagano 2015, "Evaluating confidence interval methods for binomial proportions in
 * clustered surveys"). Unlike mean ± t·SE it stays inside [0, 1] and keeps a width when every answer is right or wrong.
 */
import type { Interval } from '#contract/comparison.ts';
import { RoundoffError } from '#contract/errors.ts';
import { studentQuantile95 } from './student-t.ts';

/** Right answers out of the samples of one problem. */
export interface ProblemScore {
  correct: number;
  samples: number;
}

/** How many problems with full agreement of the seeds are assumed before the data speak; see `effectiveSamples`. */
const assumedAgreement = 2;

/** Share of right answers and its interval. Throws `numeric` without any sample. */
export function accuracyInterval(problems: readonly ProblemScore[]): Interval {
  const { samples, correct } = totals(problems);
  const value = correct / samples;
  return wilsonInterval(value, effectiveSamples(problems, value, samples), problems.length - 1);
}

/** Wilson's 95 % interval of a share seen in `effective` independent samples, with Student's t for few degrees of freedom. */
export function wilsonInterval(value: number, effective: number, degrees: number): Interval {
  const t = studentQuantile95(Math.max(1, degrees));
  const squared = (t * t) / effective;
  const centre = (value + squared / 2) / (1 + squared);
  const half = (t / (1 + squared)) * Math.sqrt((value * (1 - value)) / effective + squared / (4 * effective));
  return { value, low: Math.max(0, Math.min(value, centre - half)), high: Math.min(1, Math.max(value, centre + half)) };
}

/** The distance to the farther limit: the value is known to ± this much. */
export function marginOf({ value, low, high }: Interval): number {
  return Math.max(value - low, high - value);
}

/** Cluster-robust variance of the mean (ratio estimator, so that problems may have different numbers of samples). */
export function clusteredVariance(problems: readonly ProblemScore[]): number {
  const { samples, correct } = totals(problems);
  const count = problems.length;
  if (count < 2) return 0;
  const value = correct / samples;
  let sum = 0;
  for (const problem of problems) sum += (problem.correct - value * problem.samples) ** 2;
  return ((count / (count - 1)) * sum) / (samples * samples);
}

/**
 * Plain mean of independent estimates. The distances to the limits are combined as standard errors are (square and add:
 * Zou & Donner 2008), which equals summing variances for symmetric intervals and keeps the asymmetry near 0 and 1.
 */
export function averageIntervals(intervals: readonly Interval[]): Interval {
  if (intervals.length === 0)
    throw new RoundoffError('numeric', 'An average over no benchmarks was asked for.', 'Evaluate at least one benchmark.');
  const count = intervals.length;
  let value = 0;
  let below = 0;
  let above = 0;
  for (const interval of intervals) {
    value += interval.value / count;
    below += (interval.value - interval.low) ** 2;
    above += (interval.high - interval.value) ** 2;
  }
  return { value, low: value - Math.sqrt(below) / count, high: value + Math.sqrt(above) / count };
}

/**
 * Samples divided by the design effect: the clustered variance over that of independent samples, between 1 (seeds are
 * independent) and the number of seeds (they agree fully). Few problems with the rarer outcome say little about agreement, so
 * the effect is averaged over these problems with two more on which all seeds agree; when all answers are right or wrong, the
 * effective samples are the problems.
 */
function effectiveSamples(problems: readonly ProblemScore[], value: number, samples: number): number {
  const most = samples / problems.length;
  const independent = (value * (1 - value)) / samples;
  const measured = independent > 0 ? Math.min(most, Math.max(1, clusteredVariance(problems) / independent)) : most;
  const withRight = problems.filter((problem) => problem.correct > 0).length;
  const withWrong = problems.filter((problem) => problem.correct < problem.samples).length;
  const informative = Math.min(withRight, withWrong);
  return (samples * (informative + assumedAgreement)) / (informative * measured + assumedAgreement * most);
}

function totals(problems: readonly ProblemScore[]): { samples: number; correct: number } {
  let samples = 0;
  let correct = 0;
  for (const problem of problems) {
    samples += problem.samples;
    correct += problem.correct;
  }
  if (samples === 0) throw new RoundoffError('numeric', 'An accuracy over no samples was asked for.', 'Evaluate at least one problem.');
  return { samples, correct };
}
