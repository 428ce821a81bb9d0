/** How completions failed, one line per run or benchmark, in the words every report and the command line use. */
import type { ComparisonRow } from '#contract/comparison.ts';
import { type FailureTotals, failedCount, failureTotals } from '#contract/failures.ts';
import { count, percent } from './format.ts';

export const failureHeader = [
  'thinking ended',
  'cut off',
  'unparsed',
  'wrong',
  'tokens',
  'change',
  'lost',
  'to wrong',
  'to unparsed',
  'to truncated',
  'gained',
  'same verdict',
  'same answer',
] as const;

export interface FailureLine {
  run: string;
  /** Null for the line over all benchmarks of the run. */
  benchmark: string | null;
  cells: string[];
}

/** Runs with completions, over all benchmarks each. */
export function failureLines(rows: readonly ComparisonRow[]): FailureLine[] {
  return rows.flatMap((row) => {
    const totals = failureTotals(row.benchmarks);
    return totals ? [{ run: row.name, benchmark: null, cells: failureCells(totals) }] : [];
  });
}

/** The same, benchmark by benchmark. */
export function benchmarkFailureLines(rows: readonly ComparisonRow[]): FailureLine[] {
  return rows.flatMap((row) =>
    row.benchmarks.flatMap((result) => {
      const totals = failureTotals([result]);
      return totals ? [{ run: row.name, benchmark: result.benchmark, cells: failureCells(totals) }] : [];
    }),
  );
}

export const failureNote =
  'Shares are of the completions; lost and gained count completions against the baseline’s of the same problem and seed, “to” says what lost ones became. “Same answer” is the share with the same extracted text among pairs in which both gave one.';

function failureCells(totals: FailureTotals): string[] {
  const { samples, change } = totals;
  const share = (part: number, whole = samples) => (whole > 0 ? `${percent(part / whole)} %` : '–');
  return [
    share(totals.thinkingEnded),
    share(totals.cutOff),
    count(totals.verdicts.unparsed),
    count(totals.verdicts.incorrect),
    totals.meanTokens.toFixed(1),
    ...(change
      ? [
          relativeChange(change.meanTokens, change.baselineTokens),
          count(failedCount(change.lostTo)),
          count(change.lostTo.incorrect),
          count(change.lostTo.unparsed),
          count(change.lostTo.truncated),
          count(failedCount(change.gainedFrom)),
          share(change.sameVerdict, change.pairs),
          share(change.sameAnswer, change.bothAnswered),
        ]
      : failureHeader.slice(5).map(() => '–')),
  ];
}

/** `+12.0 %`. */
function relativeChange(now: number, before: number): string {
  if (before === 0) return '–';
  const text = (100 * Math.abs(now / before - 1)).toFixed(1);
  return `${text === '0.0' ? '' : now < before ? '\u2212' : '+'}${text} %`;
}
