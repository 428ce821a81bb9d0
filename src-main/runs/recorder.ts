/**
 * Writes a run's events to the project: a batch is one transaction, broadcast only after it is committed. Numbers rise by one;
 * events that were already recorded are dropped, and a gap is recorded as a warning in its place.
 */
import type { RunProgress } from '#contract/records.ts';
import type { RunEvent, RunEventBody } from '#contract/worker.ts';
import { type Connection, sqliteError } from '../project/connection.ts';
import { saveArtifact } from '../project/repositories/artifacts.ts';
import { insertEvent } from '../project/repositories/events.ts';
import { saveMetric } from '../project/repositories/metrics.ts';
import { findRun, type RunChange, updateRun } from '../project/repositories/runs.ts';
import { deleteProblemSamples, insertSample } from '../project/repositories/samples.ts';
import { endRunningStage, finishStage, listStages, startStage } from '../project/repositories/stages.ts';
import { insertWindow } from '../project/repositories/windows.ts';

export class RunRecorder {
  lastSeq: number;
  /** The event that ended the run, once it has come. */
  ending: RunEvent | null = null;
  private readonly db: Connection;
  private readonly runId: string;
  private readonly broadcast: (events: RunEvent[]) => void;
  private readonly stageTitles: string[];

  constructor(db: Connection, runId: string, broadcast: (events: RunEvent[]) => void) {
    this.db = db;
    this.runId = runId;
    this.broadcast = broadcast;
    this.lastSeq = findRun(db, runId)?.lastSeq ?? 0;
    this.stageTitles = listStages(db, runId).map((stage) => stage.title);
  }

  /** Records a batch from the worker. Throws `disk-full` and the like; then nothing of the batch is recorded. */
  record(events: readonly RunEvent[]): void {
    const accepted = this.inOrder(events);
    if (accepted.length === 0) return;
    try {
      this.db.transaction(() => {
        let change: RunChange = {};
        for (const event of accepted) change = { ...change, ...this.apply(event) };
        updateRun(this.db, this.runId, { ...change, lastSeq: accepted.at(-1)!.seq });
      })();
    } catch (error) {
      throw sqliteError(this.db.name, error);
    }
    this.lastSeq = accepted.at(-1)!.seq;
    this.ending = accepted.find((event) => isEnding(event)) ?? this.ending;
    this.broadcast(accepted);
  }

  /** Records an event of main's own, after the worker's last. */
  append(body: RunEventBody): void {
    this.record([{ ...body, runId: this.runId, seq: this.lastSeq + 1, at: Date.now() }]);
  }

  private inOrder(events: readonly RunEvent[]): RunEvent[] {
    const accepted: RunEvent[] = [];
    let last = this.lastSeq;
    for (const event of events) {
      if (event.runId !== this.runId || event.seq <= last) continue;
      if (event.seq > last + 1) {
        const message = `Events ${last + 1} to ${event.seq - 1} of this run did not arrive.`;
        accepted.push({ type: 'log', level: 'warning', message, runId: this.runId, seq: last + 1, at: event.at });
      }
      accepted.push(event);
      last = event.seq;
    }
    return accepted;
  }

  private apply(event: RunEvent): RunChange {
    const { db, runId } = this;
    switch (event.type) {
      case 'progress':
        return { progress: this.toProgress(event) };
      case 'metric':
        saveMetric(db, runId, event);
        return {};
      case 'sample':
        insertSample(db, runId, event.stage, event.sample);
        return {};
      case 'window':
        insertWindow(db, runId, event.window);
        return {};
    }
    insertEvent(db, event);
    switch (event.type) {
      case 'started':
        return { backend: event.backend, device: event.device };
      case 'benchmark-stopped':
        deleteProblemSamples(db, runId, event.stop.benchmark, event.surplus);
        return {};
      case 'stage-started':
        startStage(db, runId, event.stage, event.at);
        return {};
      case 'stage-finished':
        finishStage(db, runId, event.stage, event.summary, event.elapsedMs);
        return {};
      case 'artifact':
        saveArtifact(db, runId, { stage: event.stage, ...event.artifact, path: `${runId}/${event.artifact.path}` });
        return {};
      case 'finished':
        return { status: 'finished', finishedAt: event.at, progress: null, error: null };
      case 'failed':
        endRunningStage(db, runId, 'failed');
        return { status: 'failed', finishedAt: event.at, error: event.error };
      case 'cancelled':
        endRunningStage(db, runId, 'pending');
        return { status: 'cancelled', finishedAt: event.at };
      case 'stopped':
        endRunningStage(db, runId, 'pending');
        return { status: 'interrupted', finishedAt: event.at };
      case 'log':
        return {};
    }
  }

  private toProgress(event: Extract<RunEvent, { type: 'progress' }>): RunProgress {
    const { type: _type, runId: _runId, seq: _seq, at: _at, ...progress } = event;
    return { ...progress, stageTitle: this.stageTitles[event.stage] ?? '' };
  }
}

/** Whether nothing comes after it. */
export function isEnding(event: RunEvent): boolean {
  return event.type === 'finished' || event.type === 'failed' || event.type === 'cancelled' || event.type === 'stopped';
}
