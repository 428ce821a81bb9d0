/** What runs took: computing time in milliseconds, memory in bytes. */
import type { ComparisonRun } from './comparison.ts';

/** Of all stages that have ended; null without any. */
export function elapsedMs({ stages }: Pick<ComparisonRun, 'stages'>): number | null {
  const known = stages.flatMap((stage) => stage.elapsedMs ?? []);
  return known.length > 0 ? known.reduce((sum, each) => sum + each, 0) : null;
}

/** A stage taken over from another run counts once: it carries the moment at which it began there. */
export function totalElapsedMs(runs: readonly ComparisonRun[]): number {
  const stagesOf = new Map(runs.map(({ id, stages }) => [id, stages]));
  const own = runs.flatMap(({ stages, parentRunId }) => {
    const shared = (parentRunId && stagesOf.get(parentRunId)) || [];
    return stages.filter(({ startedAt }, index) => startedAt === null || shared[index]?.startedAt !== startedAt);
  });
  return own.reduce((sum, stage) => sum + (stage.elapsedMs ?? 0), 0);
}

/** The most that any stage used; null where no stage recorded it. */
export function peakMemory({ stages }: Pick<ComparisonRun, 'stages'>, memory: 'peakMemoryBytes' | 'peakGpuMemoryBytes'): number | null {
  const known = stages.flatMap(({ summary }) => (summary && summary.type !== 'export' ? (summary[memory] ?? []) : []));
  return known.length > 0 ? Math.max(...known) : null;
}
