/** A running evaluation in one line of the terminal. */
import type { BenchmarkProgress } from '#contract/worker.ts';

/** `sums 81.3 ±4.1 (60 of 300), chains …`: accuracy in percent with its 95 % interval, over problems whose completions have all ended. */
export function accuracySoFar(benchmarks: readonly BenchmarkProgress[]): string {
  const known = benchmarks.flatMap(({ benchmark, accuracy, problems, of }) => {
    if (!accuracy) return [];
    const half = (accuracy.high - accuracy.low) / 2;
    return [`${benchmark} ${(100 * accuracy.value).toFixed(1)} ±${(100 * half).toFixed(1)} (${problems} of ${of})`];
  });
  return known.join(', ');
}
