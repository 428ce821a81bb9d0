/** What a study could have seen, as the lines that every report and the command line show. */
import type { StudyResolution } from '#contract/resolution.ts';
import { count, percent, points, pointsInterval } from './format.ts';

export interface ResolutionTable {
  header: string[];
  lines: string[][];
  note: string;
}

export function resolutionTable({ difference, power, rows }: StudyResolution, benchmarks: readonly string[]): ResolutionTable {
  return {
    header: ['run', 'change', 'average', ...benchmarks, `problems for ${percent(difference)} points`],
    lines: rows.map(({ run, change, average, benchmarks: own }) => [
      run,
      change ? `${pointsInterval(change)} ${change.verdict}` : '–',
      detectable(average),
      ...benchmarks.map((name) => detectable(own.find((item) => item.benchmark === name))),
      average ? `${count(average.requiredProblems)} (now ${count(average.problems)})` : '–',
    ]),
    note: `Smallest differences from the baseline, in points, that a paired comparison at the 5 % level finds with ${percent(power)} % probability, given how much the two disagree. Smaller ones may well be there unseen.`,
  };
}

function detectable(resolution: { detectable: number | null } | null | undefined): string {
  if (!resolution) return '–';
  return resolution.detectable === null ? 'none' : points(resolution.detectable).replace('+', '±');
}
