/** Stopping before a benchmark's last problem, in the words that the log, the command line, the workbench and every report use. */
import type { Precision } from './protocol.ts';
import type { BenchmarkStop } from './worker.ts';

/** `sums: stopped after 150 of 300 problems, known to ±1.9 points` */
export function stopText({ benchmark, problems, of, margin }: BenchmarkStop): string {
  return `${benchmark}: stopped after ${problems} of ${of} problems, known to ±${(100 * margin).toFixed(1)} points`;
}

/** The rule, and what it does to the figures. */
export function precisionText({ points, lookEvery, leastProblems }: Precision): string {
  return (
    `a benchmark ends when its 95 % interval reaches at most ${points} points to either side, looked at after ${leastProblems} problems of a seeded order and ` +
    `every ${lookEvery} more; the interval keeps its coverage, accuracies near 0 or 100 % may come out some tenths of a point further out`
  );
}
