/** What the comparisons of a study could have seen, from how much its runs disagree with the baseline. */
import type { ComparisonRow, StudyComparison } from '#contract/comparison.ts';
import { type Resolution, type RunResolution, resolutionLevel, type StudyResolution } from '#contract/resolution.ts';
import { detectableDifference, powerOf, type ResolutionPart, requiredGrowth } from '../engine/statistics/index.ts';
import { negated } from './format.ts';

export interface WantedResolution {
  difference: number;
  power: number;
}

export const wantedByDefault: WantedResolution = { difference: 0.02, power: 0.8 };
const curvePoints = 40;

/** Runs that have been compared with the baseline on at least one benchmark, in table order. */
export function studyResolution(comparison: StudyComparison, wanted: WantedResolution = wantedByDefault): StudyResolution {
  return { ...wanted, rows: comparison.rows.flatMap((row) => runResolution(row, wanted) ?? []) };
}

function runResolution(row: ComparisonRow, wanted: WantedResolution): RunResolution | null {
  const compared = row.benchmarks.flatMap(({ benchmark, problems, seeds, versusBaseline }) =>
    versusBaseline ? [{ benchmark, problems, seeds: seeds.length, spread: versusBaseline.disagreement }] : [],
  );
  if (compared.length === 0) return null;
  const seeds = Math.max(...compared.map((part) => part.seeds));
  const change = row.drop && negated(row.drop);
  const benchmarks = compared.map((part) => ({
    part,
    detectable: detectableDifference([part], { ...settingsOf(wanted), seeds: part.seeds }),
  }));
  // All curves of a run are drawn together, as far as the coarsest benchmark needs.
  const end = Math.min(1, Math.max(2 * wanted.difference, ...benchmarks.map(({ detectable }) => 1.05 * (detectable ?? 1))));
  return {
    runId: row.runId,
    run: row.name,
    seeds,
    change: change && { value: change.value, low: change.low, high: change.high, verdict: change.verdict },
    benchmarks: benchmarks.map(({ part }) => ({
      benchmark: part.benchmark,
      disagreement: part.spread,
      ...resolutionOf([part], wanted, { seeds: part.seeds, end }),
    })),
    average: row.drop ? resolutionOf(compared, wanted, { seeds, end }) : null,
  };
}

const settingsOf = ({ power }: WantedResolution) => ({ level: resolutionLevel, power });

function resolutionOf(
  parts: readonly ResolutionPart[],
  wanted: WantedResolution,
  { seeds, end }: { seeds: number; end: number },
): Resolution {
  const settings = { ...settingsOf(wanted), seeds };
  const problems = parts.reduce((sum, part) => sum + part.problems, 0);
  return {
    problems,
    detectable: detectableDifference(parts, settings),
    requiredProblems: Math.ceil(problems * requiredGrowth(parts, wanted.difference, settings) - 1e-9),
    curve: Array.from({ length: curvePoints + 1 }, (_, index) => {
      const size = (end * index) / curvePoints;
      return { difference: size, power: powerOf(parts, size, settings) };
    }),
  };
}
