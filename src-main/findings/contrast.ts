/**
 * Weighted sums of accuracies ("this minus that", "this minus nine tenths of that") with a 95 % interval that counts both what differs from
 * problem to problem and what differs from one training seed to the next. Problems are the same in all groups, so everything is paired.
 */
import type { Interval } from '#contract/comparison.ts';
import { RoundoffError } from '#contract/errors.ts';
import { studentQuantile95 } from '../engine/statistics/index.ts';

/** Mean of what was measured per problem (right answers, or tokens), of one run. */
export type ProblemMeans = ReadonlyMap<string, number>;

/** One run: benchmark → problem → mean over evaluation seeds. */
export type RunMeans = ReadonlyMap<string, ProblemMeans>;

/** The runs of a variant, one per training seed; a variant without training has one, which stands for all seeds. */
export type Group = readonly RunMeans[];

export interface Term {
  group: Group;
  weight: number;
}

/**
 * Σ weight · accuracy, averaged over benchmarks. Two variances are added: that of the per-problem values around their mean (problems are
 * the independent units), and that between the training seeds, if there are several; degrees of freedom after Welch and Satterthwaite. Part
 * of the first is in the second again, so the interval is rather too wide than too narrow.
 * Throws `numeric` when groups have different numbers of seeds, or other problems.
 */
export function contrast(terms: readonly Term[]): Interval {
  const seeds = Math.max(...terms.map(({ group }) => group.length));
  for (const { group } of terms) if (group.length !== seeds && group.length !== 1) throw unequal(`${group.length} runs beside ${seeds}`);
  const benchmarks = [...terms[0]!.group[0]!.keys()];
  const parts = benchmarks.map((benchmark) => perSeedAndProblem(terms, benchmark, seeds));
  const ofProblems = combined(parts.map((rows) => varianceOfMean(meansOverSeeds(rows))));
  const perSeed = Array.from({ length: seeds }, (_, seed) => mean(parts.map((rows) => mean(rows[seed]!))));
  const ofSeeds = seeds > 1 ? varianceOfMean(perSeed) : { variance: 0, degrees: 1 };
  return intervalAround(mean(perSeed), [ofProblems, ofSeeds]);
}

export interface Variance {
  /** Of the estimate. */
  variance: number;
  degrees: number;
}

/** The estimate ± t · √Σvariance. */
export function intervalAround(value: number, variances: readonly Variance[]): Interval {
  const total = variances.reduce((sum, { variance }) => sum + variance, 0);
  if (total === 0) return { value, low: value, high: value };
  const degrees = total ** 2 / variances.reduce((sum, part) => sum + part.variance ** 2 / part.degrees, 0);
  const half = studentQuantile95(Math.max(1, Math.floor(degrees + 1e-6))) * Math.sqrt(total);
  return { value, low: value - half, high: value + half };
}

/** Of the mean of independent values. */
export function varianceOfMean(values: readonly number[]): Variance {
  const count = values.length;
  const centre = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
  return { variance: squares / (count * (count - 1)), degrees: count - 1 };
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** [seed][problem] → Σ weight · value. */
function perSeedAndProblem(terms: readonly Term[], benchmark: string, seeds: number): number[][] {
  const problems = [...terms[0]!.group[0]!.get(benchmark)!.keys()].sort();
  return Array.from({ length: seeds }, (_, seed) =>
    problems.map((problem) =>
      terms.reduce((sum, { group, weight }) => {
        const value = group[group.length === 1 ? 0 : seed]!.get(benchmark)?.get(problem);
        if (value === undefined) throw unequal(`problem ${problem} of ${benchmark} was not evaluated by all`);
        return sum + weight * value;
      }, 0),
    ),
  );
}

function meansOverSeeds(rows: number[][]): number[] {
  return rows[0]!.map((_, problem) => mean(rows.map((row) => row[problem]!)));
}

/** Of the plain mean of independent estimates. */
function combined(parts: readonly Variance[]): Variance {
  const total = parts.reduce((sum, { variance }) => sum + variance, 0);
  const degrees = total === 0 ? 1 : total ** 2 / parts.reduce((sum, { variance, degrees }) => sum + variance ** 2 / degrees, 0);
  return { variance: total / parts.length ** 2, degrees };
}

function unequal(message: string): RoundoffError {
  return new RoundoffError('numeric', `These runs cannot be compared: ${message}.`, 'Let every run of the study finish.');
}
