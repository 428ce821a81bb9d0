/**
 * Folds run events into a run's snapshot: the state after `lastSeq`, brought up to the newest event. Pure; events already contained
 * (`seq ≤ lastSeq`) are skipped, so that a snapshot and the live stream may overlap.
 */
import { stageTitle as titleOf } from '#contract/recipe.ts';
import type { LogLine, MetricSeries, RunRecord, RunSnapshot, RunStatus, StageRecord } from '#contract/records.ts';
import type { RunEvent } from '#contract/worker.ts';

const maxLogLines = 5000;

/** A new snapshot; parts that did not change are shared with the old one. */
export function foldRunEvents(snapshot: RunSnapshot, events: readonly RunEvent[]): RunSnapshot {
  const fresh = events.filter((event) => event.seq > snapshot.lastSeq);
  const last = fresh.at(-1);
  if (!last) return snapshot;
  const stages = fresh.reduce(foldStage, snapshot.stages);
  const run = fresh.reduce((record, event) => foldRun(record, event, stages), snapshot.run);
  return {
    run: { ...run, lastSeq: last.seq },
    stages,
    metrics: foldMetrics(snapshot.metrics, fresh),
    log: foldLog(snapshot.log, fresh),
    artifacts: snapshot.artifacts,
    lastSeq: last.seq,
  };
}

/** What a run's row in a list needs of an event. */
export function foldRun(run: RunRecord, event: RunEvent, stages: readonly StageRecord[]): RunRecord {
  switch (event.type) {
    case 'started':
      return { ...run, status: 'running', backend: event.backend, device: event.device, startedAt: run.startedAt ?? event.at, error: null };
    case 'progress': {
      const { type: _type, runId: _runId, seq: _seq, at: _at, ...progress } = event;
      const known = run.recipe.stages[event.stage];
      const stageTitle = stages[event.stage]?.title ?? (known ? titleOf(known) : '');
      return { ...run, progress: { ...progress, stageTitle } };
    }
    case 'stage-started':
      return { ...run, progress: emptyProgress(event.stage, event.title) };
    case 'finished':
      return ended(run, 'finished', event.at);
    case 'failed':
      return { ...ended(run, 'failed', event.at), error: event.error };
    case 'cancelled':
      return ended(run, 'cancelled', event.at);
    case 'stopped':
      return ended(run, 'interrupted', event.at);
    default:
      return run;
  }
}

function ended(run: RunRecord, status: RunStatus, at: number): RunRecord {
  return { ...run, status, finishedAt: at, progress: null };
}

function emptyProgress(stage: number, stageTitle: string): RunRecord['progress'] {
  return { stage, stageTitle, done: 0, total: 0, unit: '', ratePerSecond: null, remainingMs: null, detail: '' };
}

function foldStage(stages: StageRecord[], event: RunEvent): StageRecord[] {
  const replace = (index: number, change: Partial<StageRecord>) =>
    stages.map((stage) => (stage.index === index ? { ...stage, ...change } : stage));
  if (event.type === 'stage-started') return replace(event.stage, { status: 'running', title: event.title, startedAt: event.at });
  if (event.type === 'stage-finished')
    return replace(event.stage, { status: 'finished', elapsedMs: event.elapsedMs, summary: event.summary });
  if (event.type === 'failed') return stages.map((stage) => (stage.status === 'running' ? { ...stage, status: 'failed' as const } : stage));
  if (event.type === 'cancelled' || event.type === 'stopped')
    return stages.map((stage) => (stage.status === 'running' ? { ...stage, status: 'pending' as const } : stage));
  return stages;
}

function foldMetrics(metrics: MetricSeries[], events: readonly RunEvent[]): MetricSeries[] {
  const added = new Map<string, MetricSeries>();
  for (const event of events) {
    if (event.type !== 'metric') continue;
    const key = `${event.stage}\u0000${event.name}`;
    const series = added.get(key) ?? { stage: event.stage, name: event.name, points: [] };
    series.points.push({ step: event.step, value: event.value });
    added.set(key, series);
  }
  if (added.size === 0) return metrics;
  const grown = metrics.map((series) => {
    const key = `${series.stage}\u0000${series.name}`;
    const more = added.get(key);
    added.delete(key);
    return more ? { ...series, points: joined(series.points, more.points) } : series;
  });
  return [...grown, ...added.values()];
}

/** Steps that a resumed run makes again replace the earlier ones. */
function joined(points: MetricSeries['points'], more: MetricSeries['points']): MetricSeries['points'] {
  const first = Math.min(...more.map(({ step }) => step));
  const last = points.at(-1);
  if (!last || last.step < first) return [...points, ...more];
  const byStep = new Map([...points, ...more].map((point) => [point.step, point]));
  return [...byStep.values()].sort((a, b) => a.step - b.step);
}

function foldLog(log: LogLine[], events: readonly RunEvent[]): LogLine[] {
  const lines = events.flatMap((event) =>
    event.type === 'log' ? [{ seq: event.seq, at: event.at, level: event.level, message: event.message }] : [],
  );
  return lines.length === 0 ? log : [...log, ...lines].slice(-maxLogLines);
}
