/**
 * What difference a paired comparison can see, and how many problems a wanted one needs (Connor 1987, "Sample size for testing
 * differences in proportions for the paired-sample design"). With one seed the spread is the share of problems on which the two
 * disagree; with several it is the mean square of the problems' differences, which more seeds make smaller.
 */
import { RoundoffError } from '#contract/errors.ts';
import { normalCdf, normalQuantile } from './normal.ts';
import type { ProblemPair } from './paired.ts';

export interface ResolutionSettings {
  /** Chance of a false alarm when there is no difference; two-sided. */
  level: number;
  /** Chance of finding a difference that is there. */
  power: number;
  /** Completions per problem. */
  seeds: number;
}

export const resolutionDefaults: ResolutionSettings = { level: 0.05, power: 0.8, seeds: 1 };

/**
 * Mean square of the problems' differences about their mean, in [0, 1]: for runs that are alike, the share of problems that only one of
 * them solves. Two pseudo-problems are added, half a problem gained and half lost, so that runs which have not differed yet are not taken
 * for runs that cannot.
 */
export function disagreement(problems: readonly ProblemPair[]): number {
  let sum = 0;
  let squares = 0;
  for (const { pairs, gained, lost } of problems) {
    const difference = (gained - lost) / pairs;
    sum += difference;
    squares += difference * difference;
  }
  const padded = problems.length + 2;
  return (squares + 1) / padded - (sum / padded) ** 2;
}

/** Share of problems on which two independent runs of these accuracies disagree: the most that is to be expected. */
export function independentDisagreement(accuracy: number, other: number): number {
  return accuracy * (1 - other) + other * (1 - accuracy);
}

/** One benchmark of a comparison; several are averaged with equal weights. */
export interface ResolutionPart {
  problems: number;
  /** Mean square of the problems' differences; see `disagreement`. */
  spread: number;
}

/** Chance that a test at this level finds a mean difference of this size. */
export function powerOf(parts: readonly ResolutionPart[], difference: number, settings: Partial<ResolutionSettings> = {}): number {
  const { level, seeds } = { ...resolutionDefaults, ...settings };
  const { none, some } = deviations(parts, difference, seeds);
  const beyond = Math.abs(difference) - normalQuantile(1 - level / 2) * none;
  if (some === 0) return beyond >= 0 ? 1 : 0;
  return normalCdf(beyond / some);
}

/** Smallest mean difference that is found with the wanted power; null when not even one of 1 would be. */
export function detectableDifference(parts: readonly ResolutionPart[], settings: Partial<ResolutionSettings> = {}): number | null {
  const { power } = { ...resolutionDefaults, ...settings };
  if (parts.length === 0 || parts.some((part) => part.problems < 1) || powerOf(parts, 1, settings) < power) return null;
  let low = 0;
  let high = 1;
  while (high - low > 1e-12) {
    const middle = (low + high) / 2;
    if (powerOf(parts, middle, settings) < power) low = middle;
    else high = middle;
  }
  return high;
}

/** By how much every benchmark would have to grow for a mean difference of this size to be found with the wanted power. */
export function requiredGrowth(parts: readonly ResolutionPart[], difference: number, settings: Partial<ResolutionSettings> = {}): number {
  const { level, power, seeds } = { ...resolutionDefaults, ...settings };
  if (!(Math.abs(difference) > 0 && Math.abs(difference) <= 1))
    throw new RoundoffError('bad-input', `A difference of ${difference} cannot be planned for.`, 'Give a difference above 0, up to 1.');
  if (parts.length === 0 || parts.some(({ spread }) => !(spread > 0 && spread <= 1)))
    throw new RoundoffError(
      'bad-input',
      'Without a disagreement there is nothing to plan by.',
      'Give a share of problems above 0, up to 1.',
    );
  const { none, some } = deviations(parts, difference, seeds);
  return ((normalQuantile(1 - level / 2) * none + normalQuantile(power) * some) / difference) ** 2;
}

/** Problems that show a difference of this size with the wanted power. */
export function requiredProblems(difference: number, spread: number, settings: Partial<ResolutionSettings> = {}): number {
  return Math.ceil(requiredGrowth([{ problems: 1, spread }], difference, settings) - 1e-9);
}

/** Standard deviation of the mean difference when there is none, and when it is `difference`. */
function deviations(parts: readonly ResolutionPart[], difference: number, seeds: number): { none: number; some: number } {
  let square = 0;
  let mean = 0;
  for (const { problems, spread } of parts) {
    square += Math.max(spread, leastSpread(difference, seeds)) / problems;
    mean += (difference * difference) / problems;
  }
  return { none: Math.sqrt(square) / parts.length, some: Math.sqrt(Math.max(0, square - mean)) / parts.length };
}

/** A mean difference implies some spread: a problem's difference moves in steps of one completion. */
function leastSpread(difference: number, seeds: number): number {
  return Math.max(difference * difference, Math.abs(difference) / seeds);
}
