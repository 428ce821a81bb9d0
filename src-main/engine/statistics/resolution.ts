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
 * Mean square of the problems' differences, in [0, 1]. Two pseudo-problems are added, half a problem gained and half lost, so that runs
 * which have not differed yet are not taken for runs that cannot.
 */
export function disagreement(problems: readonly ProblemPair[]): number {
  let squares = 0;
  for (const { pairs, gained, lost } of problems) squares += ((gained - lost) / pairs) ** 2;
  return (squares + 1) / (problems.length + 2);
}

/** Share of problems on which two independent runs of these accuracies disagree: the most that is to be expected. */
export function independentDisagreement(accuracy: number, other: number): number {
  return accuracy * (1 - other) + other * (1 - accuracy);
}

/** Smallest difference that `problems` problems show with the wanted power; null when not even a difference of 1 would be. */
export function detectableDifference(problems: number, spread: number, settings: Partial<ResolutionSettings> = {}): number | null {
  const { level, power, seeds } = { ...resolutionDefaults, ...settings };
  const seen = (difference: number) => powerAt({ problems, difference, spread: Math.max(spread, leastSpread(difference, seeds)), level });
  if (problems < 1 || seen(1) < power) return null;
  let low = 0;
  let high = 1;
  while (high - low > 1e-12) {
    const middle = (low + high) / 2;
    if (seen(middle) < power) low = middle;
    else high = middle;
  }
  return high;
}

/** Problems that show a difference of this size with the wanted power. Throws `bad-input` for what no number of problems could show. */
export function requiredProblems(difference: number, spread: number, settings: Partial<ResolutionSettings> = {}): number {
  const { level, power, seeds } = { ...resolutionDefaults, ...settings };
  if (!(Math.abs(difference) > 0 && Math.abs(difference) <= 1))
    throw new RoundoffError('bad-input', `A difference of ${difference} cannot be planned for.`, 'Give a difference above 0, up to 1.');
  if (!(spread > 0 && spread <= 1))
    throw new RoundoffError('bad-input', `A disagreement of ${spread} is no share of problems.`, 'Give a share above 0, up to 1.');
  const square = Math.max(spread, leastSpread(difference, seeds));
  const reach = normalQuantile(1 - level / 2) * Math.sqrt(square) + normalQuantile(power) * Math.sqrt(square - difference * difference);
  return Math.ceil((reach / difference) ** 2);
}

/** Chance that a test at this level finds a difference of this size. */
export function powerAt(at: { problems: number; difference: number; spread: number; level: number }): number {
  const { problems, difference, spread, level } = at;
  const beyond = Math.abs(difference) * Math.sqrt(problems) - normalQuantile(1 - level / 2) * Math.sqrt(spread);
  const deviation = Math.sqrt(Math.max(0, spread - difference * difference));
  if (deviation === 0) return beyond >= 0 ? 1 : 0;
  return normalCdf(beyond / deviation);
}

/** A mean difference implies some spread: a problem's difference moves in steps of one completion. */
function leastSpread(difference: number, seeds: number): number {
  return Math.max(difference * difference, Math.abs(difference) / seeds);
}
