/** A running evaluation in one line of the terminal. */
import type { BenchmarkProgress } from '#contract/worker.ts';
import { marginOf } from '../engine/statistics/index.ts';
import { percent } from '../reports/format.ts';

/** `sums 81.3 ±4.1 (60 of 300), chains …`: accuracy in percent with its 95 % interval, over problems whose completions have all ended. */
export function accuracySoFar(benchmarks: readonly BenchmarkProgress[]): string {
  const known = benchmarks.flatMap(({ benchmark, accuracy, problems, of }) => {
    if (!accuracy) return [];
    return [`${benchmark} ${percent(accuracy.value)} ±${percent(marginOf(accuracy))} (${problems} of ${of})`];
  });
  return known.join(', ');
}
