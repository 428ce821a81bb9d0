/** A benchmark that ended before its last problem, in the words that the log, the command line and every report use. */
import type { BenchmarkStop } from './worker.ts';

/** `sums: stopped after 150 of 300 problems, the 95 % interval being ±1.9 points` */
export function stopText({ benchmark, problems, of, halfWidth }: BenchmarkStop): string {
  return `${benchmark}: stopped after ${problems} of ${of} problems, the 95 % interval being ±${(100 * halfWidth).toFixed(1)} points`;
}
