/** The order of runs in lists, and the queue's summary. Pure. */
import type { RunRecord, RunStatus } from '#contract/records.ts';

const rank: Record<RunStatus, number> = { running: 0, stopping: 0, queued: 1, failed: 2, interrupted: 2, cancelled: 2, finished: 2 };

/** What runs now, then the queue in its order, then what ended, newest first. */
export function sortRuns(runs: readonly RunRecord[]): RunRecord[] {
  return [...runs].sort((a, b) => {
    const byRank = rank[a.status] - rank[b.status];
    if (byRank !== 0) return byRank;
    if (rank[a.status] < 2) return a.createdAt - b.createdAt || a.studyId - b.studyId;
    return (b.finishedAt ?? b.createdAt) - (a.finishedAt ?? a.createdAt);
  });
}

export interface QueueSummary {
  current: RunRecord | null;
  waiting: number;
  /** Runs of the studies that have something to do, and how many of them have ended. */
  total: number;
  done: number;
}

export function queueOf(runs: readonly RunRecord[]): QueueSummary {
  const active = runs.filter((run) => rank[run.status] < 2);
  const studies = new Set(active.map((run) => run.studyId));
  const involved = runs.filter((run) => studies.has(run.studyId));
  return {
    current: active.find((run) => run.status !== 'queued') ?? null,
    waiting: active.filter((run) => run.status === 'queued').length,
    total: involved.length,
    done: involved.length - active.length,
  };
}

/** Share done of a run in [0, 1]: finished stages plus the current one's part; null when unknown. */
export function runShare(run: RunRecord): number | null {
  if (run.status === 'finished') return 1;
  if (!run.progress) return null;
  const stages = Math.max(1, run.recipe.stages.length);
  const part = run.progress.total > 0 ? run.progress.done / run.progress.total : 0;
  return Math.min(1, (run.progress.stage + part) / stages);
}
