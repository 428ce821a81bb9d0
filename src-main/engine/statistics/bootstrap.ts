/**
 * Paired bootstrap of a difference in accuracy, clustered by problem: whole problems are drawn with replacement, with all their
 * seeds in both runs. The interval is bias-corrected and accelerated (BCa; Efron 1987), which does not assume symmetry.
 */
import type { Interval } from '#contract/comparison.ts';
import { RandomStream } from '../data/random-stream.ts';
import { normalCdf, normalQuantile } from './normal.ts';
import type { ProblemPair } from './paired.ts';
import { type Distribution, differenceOf, drawnDistribution, exactDistribution, type ProblemKind } from './resampling.ts';

export interface BootstrapSettings {
  /**
   * Draws this many resamples. Without it the limit of infinitely many is computed where every problem has the same number of pairs,
   * and 10,000 are drawn elsewhere.
   */
  resamples?: number;
  /** Of the draws. */
  seed?: number;
  /** Share of resamples inside. */
  level?: number;
  method?: 'bca' | 'percentile';
}

/** Null when all problems differ alike: every resample would be the same, which says nothing about what others would show. */
export function pairedBootstrap(problems: readonly ProblemPair[], settings: BootstrapSettings = {}): Interval | null {
  const { seed = 42, level = 0.95, method = 'bca' } = settings;
  const kinds = kindsOf(problems);
  if (kinds.length < 2) return null;
  const value = differenceOf(kinds, (kind) => kind.problems);
  const isEven = kinds.every((kind) => kind.pairs === kinds[0]!.pairs);
  const distribution =
    settings.resamples === undefined && isEven
      ? exactDistribution(kinds)
      : drawnDistribution(kinds, settings.resamples ?? 10_000, new RandomStream(seed, 'paired-bootstrap'));
  const tails = [(1 - level) / 2, (1 + level) / 2] as const;
  const [low, high] = method === 'bca' ? correctedTails(distribution, value, acceleration(kinds), tails) : tails;
  return { value, low: quantile(distribution, low), high: quantile(distribution, high) };
}

/** Problems by what they add to the statistic, the rare kinds first. */
function kindsOf(problems: readonly ProblemPair[]): ProblemKind[] {
  const kinds = new Map<string, ProblemKind>();
  for (const { pairs, gained, lost } of problems) {
    const difference = gained - lost;
    const key = `${pairs} ${difference}`;
    const kind = kinds.get(key) ?? { problems: 0, pairs, difference };
    kind.problems += 1;
    kinds.set(key, kind);
  }
  return [...kinds.values()].sort((a, b) => a.problems - b.problems || a.pairs - b.pairs || a.difference - b.difference);
}

/** From the estimates with one problem left out; the same for all problems of a kind. */
function acceleration(kinds: readonly ProblemKind[]): number {
  const total = kinds.reduce((sum, kind) => sum + kind.problems, 0);
  const without = kinds.map((_, index) => differenceOf(kinds, (kind, at) => kind.problems - (at === index ? 1 : 0)));
  const mean = without.reduce((sum, estimate, index) => sum + estimate * kinds[index]!.problems, 0) / total;
  let squares = 0;
  let cubes = 0;
  for (const [index, estimate] of without.entries()) {
    squares += kinds[index]!.problems * (mean - estimate) ** 2;
    cubes += kinds[index]!.problems * (mean - estimate) ** 3;
  }
  return squares > 0 ? cubes / (6 * squares ** 1.5) : 0;
}

function correctedTails({ values, masses }: Distribution, value: number, skew: number, tails: readonly [number, number]): [number, number] {
  let below = 0;
  for (const [index, estimate] of values.entries())
    below += estimate < value ? masses[index]! : estimate === value ? masses[index]! / 2 : 0;
  // Never 0 or 1, whose quantile is infinite.
  const bias = normalQuantile(Math.min(1 - 1e-9, Math.max(1e-9, below)));
  const corrected = (tail: number) => {
    const shifted = bias + normalQuantile(tail);
    return normalCdf(bias + shifted / (1 - skew * shifted));
  };
  return [corrected(tails[0]), corrected(tails[1])];
}

/** The smallest value that at least this share lies at or below. */
function quantile({ values, masses }: Distribution, share: number): number {
  let sum = 0;
  for (const [index, mass] of masses.entries()) {
    sum += mass;
    if (sum >= share - 1e-12) return values[index]!;
  }
  return values.at(-1)!;
}
