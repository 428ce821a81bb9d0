/**
 * Tests of the average drops of a study's runs: each alone, and corrected for how many runs are compared. Among many variants that are
 * all as good as the baseline, one would look different by chance.
 */
import type { AdjustedTest, ComparisonRow, SignificanceTest } from '#contract/comparison.ts';
import { holm, meanDifferenceTest } from '../engine/statistics/index.ts';
import { type BenchmarkSamples, pairProblems } from './comparison-samples.ts';

/** Over the benchmarks that both have, in the order given. */
export function averageDropTest(
  benchmarks: readonly string[],
  own: ReadonlyMap<string, BenchmarkSamples>,
  baseline: ReadonlyMap<string, BenchmarkSamples>,
): SignificanceTest {
  return meanDifferenceTest(
    benchmarks.flatMap((name) => {
      const [mine, reference] = [own.get(name), baseline.get(name)];
      return mine && reference ? [pairProblems(mine, reference)] : [];
    }),
  );
}

type TestedRow = Omit<ComparisonRow, 'dropTest'> & { dropTest: SignificanceTest | null };

/** Rows with the p-values that hold for all comparisons with the same baseline together: those of one model. */
export function adjustTests(rows: readonly TestedRow[]): ComparisonRow[] {
  const adjusted = new Map<SignificanceTest, AdjustedTest>();
  for (const own of Map.groupBy(rows, (row) => row.modelId).values()) {
    const tests = own.flatMap(({ dropTest }) => (dropTest ? [dropTest] : []));
    const pValues = holm(tests.map((test) => test.pValue));
    for (const [index, test] of tests.entries()) adjusted.set(test, { ...test, holm: pValues[index]!, comparisons: tests.length });
  }
  return rows.map((row) => ({ ...row, dropTest: row.dropTest && adjusted.get(row.dropTest)! }));
}
