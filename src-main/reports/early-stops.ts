/** Benchmarks that ended before their last problem because the protocol's precision was reached, and what that means for a comparison. */
import { answersPerProblem, type ProblemKind } from '#contract/benchmarks.ts';
import { stopText } from '#contract/early-stop.ts';
import type { BenchmarkStop, StageSummary } from '#contract/worker.ts';
import type { BenchmarkSamples } from './comparison-samples.ts';

/** By benchmark; of finished evaluations. */
export function stopsOf(stages: readonly { summary: StageSummary | null }[]): Map<string, BenchmarkStop> {
  const stops = stages.flatMap(({ summary }) => (summary?.type === 'evaluate' && summary.stopped) || []);
  return new Map(stops.map((stop) => [stop.benchmark, stop]));
}

/** Samples that a run has when it is complete. */
export function completeSamples(
  { name, problems, kind = 'maths' }: { name: string; problems: number; kind?: ProblemKind },
  stops: ReadonlyMap<string, BenchmarkStop>,
  seeds: number,
): number {
  return (stops.get(name)?.problems ?? problems) * answersPerProblem(kind, seeds);
}

/** Where each benchmark stopped, and on which problems it is compared with a baseline that stopped elsewhere. */
export function stopNotes(
  stops: ReadonlyMap<string, BenchmarkStop>,
  own: ReadonlyMap<string, BenchmarkSamples> | undefined,
  reference: ReadonlyMap<string, BenchmarkSamples> | undefined,
): string[] {
  const notes = [...stops.values()].map((stop) => `${stopText(stop)}.`);
  for (const [benchmark, { problems }] of own ?? []) {
    const other = reference?.get(benchmark)?.problems;
    const shared = other ? [...problems.keys()].filter((id) => other.has(id)).length : 0;
    if (!other || (shared === problems.size && shared === other.size)) continue;
    notes.push(
      `${benchmark}: compared with the baseline on the ${shared} problems that both have (${problems.size} here, ${other.size} there).`,
    );
  }
  return notes;
}
