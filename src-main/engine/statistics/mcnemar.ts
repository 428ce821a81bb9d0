/**
 * McNemar's test for paired right and wrong answers, kept exact when problems are answered under several seeds: if variant and
 * baseline were equally good, a problem's difference (gained minus lost) would have either sign with equal probability. Flipping
 * the signs of whole problems respects that their seeds are alike; with one seed it is the exact binomial test of McNemar.
 * The mid-p counts half of what is exactly as extreme (Fagerland et al. 2013) and is less conservative.
 */
import type { SignificanceTest } from '#contract/comparison.ts';
import { normalTwoSided } from './normal.ts';
import type { ProblemPair } from './paired.ts';
import { logGamma } from './student-t.ts';

/** Up to this many problems that differ, all sign patterns are counted; beyond it their sum is very nearly normal. */
const enumerated = 16;

/** Exact two-sided test that gains and losses balance. Both values are 1 when no problem differs. */
export function mcNemarTest(problems: readonly ProblemPair[]): SignificanceTest {
  const magnitudes = new Map<number, number>();
  let observed = 0;
  for (const { gained, lost } of problems) {
    const difference = gained - lost;
    observed += difference;
    if (difference !== 0) magnitudes.set(Math.abs(difference), (magnitudes.get(Math.abs(difference)) ?? 0) + 1);
  }
  if (magnitudes.size === 0) return { pValue: 1, midP: 1, exact: true };
  // Of n differences of size m, x turn up positive: their sum is m·(2x − n). The distribution is that of Σ m·x.
  let distribution = Float64Array.of(1);
  let total = 0;
  for (const [size, count] of magnitudes) {
    const next = new Float64Array(distribution.length + size * count);
    for (let positive = 0; positive <= count; positive++) {
      const weight = binomialHalf(count, positive);
      if (weight === 0) continue;
      for (let at = 0; at < distribution.length; at++) next[at + size * positive]! += weight * distribution[at]!;
    }
    distribution = next;
    total += size * count;
  }
  let beyond = 0;
  let equal = 0;
  for (const [at, probability] of distribution.entries()) {
    const sum = Math.abs(2 * at - total);
    if (sum > Math.abs(observed)) beyond += probability;
    if (sum === Math.abs(observed)) equal += probability;
  }
  return { pValue: Math.min(1, beyond + equal), midP: Math.min(1, beyond + equal / 2), exact: true };
}

/**
 * The same test for the plain mean of the differences on several benchmarks, each with its own problems: all sign patterns while
 * few problems differ, then the normal approximation (Durkalski et al. 2003, "Analysis of clustered matched-pair data").
 */
export function meanDifferenceTest(benchmarks: readonly (readonly ProblemPair[])[]): SignificanceTest {
  const [only] = benchmarks;
  if (benchmarks.length === 1 && only) return mcNemarTest(only);
  const parts = benchmarks.flatMap((problems) => {
    const pairs = problems.reduce((sum, problem) => sum + problem.pairs, 0);
    return problems.filter(({ gained, lost }) => gained !== lost).map(({ gained, lost }) => (gained - lost) / pairs);
  });
  if (parts.length === 0) return { pValue: 1, midP: 1, exact: true };
  const observed = parts.reduce((sum, part) => sum + part, 0);
  if (parts.length <= enumerated) return { ...countPatterns(parts, Math.abs(observed)), exact: true };
  const deviation = Math.sqrt(parts.reduce((sum, part) => sum + part * part, 0));
  const pValue = normalTwoSided(observed / deviation);
  return { pValue, midP: pValue, exact: false };
}

/** Goes through all sign patterns, one flip at a time. */
function countPatterns(parts: readonly number[], observed: number): { pValue: number; midP: number } {
  const signs = parts.map(() => 1);
  const patterns = 2 ** parts.length;
  const rounding = 1e-12 * parts.reduce((sum, part) => sum + Math.abs(part), 0);
  let beyond = 0;
  let equal = 0;
  for (let pattern = 1; pattern <= patterns; pattern++) {
    const sum = Math.abs(parts.reduce((total, part, index) => total + signs[index]! * part, 0));
    if (sum > observed + rounding) beyond += 1;
    else if (sum >= observed - rounding) equal += 1;
    const flipped = pattern === patterns ? -1 : Math.log2(pattern & -pattern);
    if (flipped >= 0) signs[flipped]! *= -1;
  }
  return { pValue: (beyond + equal) / patterns, midP: (beyond + equal / 2) / patterns };
}

function binomialHalf(count: number, chosen: number): number {
  return Math.exp(logGamma(count + 1) - logGamma(chosen + 1) - logGamma(count - chosen + 1) - count * Math.LN2);
}
