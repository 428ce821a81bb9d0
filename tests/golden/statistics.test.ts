/** Statistics of evaluations against SciPy and statsmodels; see make-statistics-fixtures.py. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  accuracyInterval,
  clusteredVariance,
  detectableDifference,
  holm,
  incompleteBeta,
  mcNemarTest,
  meanDifferenceTest,
  normalCdf,
  normalQuantile,
  type ProblemPair,
  type ProblemScore,
  pairedBootstrap,
  pairedDifference,
  passAtK,
  powerOf,
  requiredProblems,
  studentCdf,
  studentQuantile95,
  wilsonInterval,
} from '../../src-main/engine/statistics/index.ts';
import { fixturePath } from './fixtures.ts';

type PairCells = [pairs: number, gained: number, lost: number];
type ScoreCells = [correct: number, samples: number];
interface Limits {
  low: number;
  high: number;
}

interface Fixtures {
  distributions: Record<'normalCdf' | 'normalQuantile' | 'student95' | 'studentCdf' | 'beta' | 'binomial', number[][]>;
  clustered: { scores: ScoreCells[]; mean: number; variance: number }[];
  wilson: ({ correct: number; n: number } & Limits)[];
  paired: ({ pairs: PairCells[]; value: number } & Limits)[];
  mcnemar: { gained: number; lost: number; exact: number; mid: number }[];
  clusteredMcNemar: { pairs: PairCells[]; exact: number; mid: number }[];
  meanDifference: { benchmarks: PairCells[][]; exact: boolean; p: number }[];
  bootstrap: { pairs: PairCells[]; percentile: Limits & { error: [number, number] }; bca: Limits & { error: [number, number] } }[];
  holm: { p: number[]; adjusted: number[] }[];
  passAtK: { k: number; scores: ScoreCells[]; value: number }[];
  power: { difference: number; spread: number; level: number; power: number; problems: number; exactPower: number }[];
}

const fixtures: Fixtures = JSON.parse(readFileSync(fixturePath('statistics.json'), 'utf8'));
const toPairs = (cells: readonly PairCells[]): ProblemPair[] => cells.map(([pairs, gained, lost]) => ({ pairs, gained, lost }));
const toScores = (cells: readonly ScoreCells[]): ProblemScore[] => cells.map(([correct, samples]) => ({ correct, samples }));
const closeTo = (value: number, reference: number, relative: number) =>
  expect(Math.abs(value - reference), `${value} is not ${reference}`).toBeLessThanOrEqual(relative * Math.abs(reference));

describe('distributions equal SciPy’s', () => {
  const { normalCdf: cdf, normalQuantile: quantile, student95, studentCdf: student, beta, binomial } = fixtures.distributions;
  it('normal, both tails to a relative 1e-12', () => {
    for (const [z, probability] of cdf!) closeTo(normalCdf(z!), probability!, 1e-12);
    for (const [probability, z] of quantile!) expect(normalQuantile(probability!)).toBeCloseTo(z!, 10);
    expect(() => normalQuantile(1)).toThrow(/quantile/);
  });

  it('Student’s t to 1e-9', () => {
    for (const [degrees, quantile95] of student95!) closeTo(studentQuantile95(degrees!), quantile95!, 1e-9);
    for (const [t, degrees, probability] of student!) closeTo(studentCdf(t!, degrees!), probability!, 1e-9);
  });

  it('beta and, by it, binomial to 1e-9', () => {
    for (const [x, a, b, probability] of beta!) closeTo(incompleteBeta(x!, a!, b!), probability!, 1e-9);
    for (const [k, n, p, probability] of binomial!) closeTo(incompleteBeta(1 - p!, n! - k!, k! + 1), probability!, 1e-9);
  });
});

describe('intervals equal statsmodels’', () => {
  it('clustered variance of an accuracy, as OLS clustered by problem, to 1e-12', () => {
    for (const { scores, mean, variance } of fixtures.clustered) {
      closeTo(accuracyInterval(toScores(scores)).value, mean, 1e-12);
      closeTo(clusteredVariance(toScores(scores)), variance, 1e-10);
    }
  });

  it('Wilson’s interval to 1e-6, by Student’s t with many degrees of freedom', () => {
    for (const { correct, n, low, high } of fixtures.wilson) {
      const interval = wilsonInterval(correct / n, n, 1e8);
      expect(interval.low).toBeCloseTo(low, 6);
      expect(interval.high).toBeCloseTo(high, 6);
    }
  });

  it('paired differences with two pseudo-problems to 1e-9', () => {
    for (const { pairs, value, low, high } of fixtures.paired) {
      const difference = pairedDifference(toPairs(pairs));
      expect(difference.value).toBeCloseTo(value, 12);
      expect(difference.low).toBeCloseTo(low, 9);
      expect(difference.high).toBeCloseTo(high, 9);
    }
  });
});

describe('McNemar', () => {
  it('is the exact binomial test with one seed, to a relative 1e-9', () => {
    for (const { gained, lost, exact, mid } of fixtures.mcnemar) {
      const problems = [
        ...Array.from({ length: gained }, () => ({ pairs: 1, gained: 1, lost: 0 })),
        ...Array.from({ length: lost }, () => ({ pairs: 1, gained: 0, lost: 1 })),
        { pairs: 1, gained: 0, lost: 0 },
      ];
      const test = mcNemarTest(problems);
      closeTo(test.pValue, exact, 1e-9);
      closeTo(test.midP, mid, 1e-9);
    }
  });

  it('counts all sign patterns of problems with several seeds, as permutation_test does, to 1e-12', () => {
    for (const { pairs, exact, mid } of fixtures.clusteredMcNemar) {
      const test = mcNemarTest(toPairs(pairs));
      expect(test.pValue).toBeCloseTo(exact, 12);
      expect(test.midP).toBeCloseTo(mid, 12);
    }
  });

  it('weighs benchmarks alike, whatever their size', () => {
    for (const { benchmarks, exact, p } of fixtures.meanDifference) {
      const test = meanDifferenceTest(benchmarks.map(toPairs));
      expect(test.exact).toBe(exact);
      closeTo(test.pValue, p, 1e-9);
    }
  });
});

describe('paired bootstrap', () => {
  it.each([
    ['percentile', undefined],
    ['percentile', 10_000],
    ['bca', undefined],
    ['bca', 10_000],
  ] as const)('%s limits lie within four Monte-Carlo errors of SciPy’s, %s resamples', (method, resamples) => {
    for (const { pairs, ...reference } of fixtures.bootstrap) {
      const interval = pairedBootstrap(toPairs(pairs), { method, ...(resamples ? { resamples } : {}) })!;
      const { low, high, error } = reference[method];
      // Limits move in steps of one completion; where all of SciPy's repeats agree, one step is the error.
      const step = 1 / pairs.reduce((sum, [count]) => sum + count, 0);
      expect(Math.abs(interval.low - low)).toBeLessThanOrEqual(Math.max(4 * error[0], 1.01 * step));
      expect(Math.abs(interval.high - high)).toBeLessThanOrEqual(Math.max(4 * error[1], 1.01 * step));
    }
  });

  it('draws equal limits for equal seeds, and others for another', () => {
    const pairs = toPairs(fixtures.bootstrap[1]!.pairs);
    const drawn = (seed: number, from = pairs) => pairedBootstrap(from, { seed, resamples: 500 });
    expect(drawn(1)).toEqual(drawn(1, pairs.toReversed()));
    expect([1, 2, 3].map((seed) => drawn(seed))).not.toEqual([42, 42, 42].map((seed) => drawn(seed)));
  });

  it('draws where problems have different numbers of pairs, and says nothing when all problems differ alike', () => {
    const ragged = [...toPairs(fixtures.bootstrap[1]!.pairs), { pairs: 1, gained: 0, lost: 1 }];
    expect(pairedBootstrap(ragged)).toEqual(pairedBootstrap(ragged, { resamples: 10_000 }));
    expect(pairedBootstrap([{ pairs: 3, gained: 0, lost: 0 }])).toBeNull();
  });
});

describe('many variants, pass@k and sample sizes', () => {
  it('Holm’s correction equals multipletests', () => {
    for (const { p, adjusted } of fixtures.holm) {
      for (const [index, value] of holm(p).entries()) expect(value).toBeCloseTo(adjusted[index]!, 12);
    }
    expect(holm([])).toEqual([]);
  });

  it('pass@k equals the binomial coefficients', () => {
    for (const { k, scores, value } of fixtures.passAtK) expect(passAtK(toScores(scores), k).value).toBeCloseTo(value, 12);
    expect(() => passAtK(toScores([[1, 2]]), 3)).toThrow(/2 completions/);
  });

  it('required problems equal the closed form and reach the wanted power in the exact test', () => {
    for (const { difference, spread, level, power, problems, exactPower } of fixtures.power) {
      expect(requiredProblems(difference, spread, { level, power })).toBe(problems);
      expect(powerOf([{ problems, spread }], difference, { level })).toBeGreaterThanOrEqual(power - 1e-9);
      expect(exactPower).toBeGreaterThan(power - 0.02);
      const seen = detectableDifference([{ problems, spread }], { level, power })!;
      expect(seen).toBeLessThanOrEqual(Math.abs(difference) + 1e-9);
      expect(seen).toBeGreaterThan(0.97 * Math.abs(difference));
    }
  });
});
