/** Table `stages`: the state of each stage of a run and, once finished, its summary. */
import type { StageRecord } from '#contract/records.ts';
import type { StageSummary } from '#contract/worker.ts';
import { allRows, type Connection, fromJson, statement, toJson } from '../connection.ts';

interface StageRow {
  stage: number;
  type: StageRecord['type'];
  title: string;
  status: StageRecord['status'];
  started_at: number | null;
  elapsed_ms: number | null;
  summary: string | null;
}

export interface NewStage {
  stage: number;
  type: StageRecord['type'];
  title: string;
}

export function insertStage(db: Connection, runId: string, { stage, type, title }: NewStage): void {
  statement(db, "INSERT INTO stages (run_id, stage, type, title, status) VALUES (?, ?, ?, ?, 'pending')").run(runId, stage, type, title);
}

export function startStage(db: Connection, runId: string, stage: number, at: number): void {
  statement(
    db,
    "UPDATE stages SET status = 'running', started_at = coalesce(started_at, ?) WHERE run_id = ? AND stage = ? AND status <> 'finished'",
  ).run(at, runId, stage);
}

export function finishStage(db: Connection, runId: string, stage: number, summary: StageSummary, elapsedMs: number): void {
  statement(db, "UPDATE stages SET status = 'finished', summary = ?, elapsed_ms = ? WHERE run_id = ? AND stage = ?").run(
    toJson(summary),
    elapsedMs,
    runId,
    stage,
  );
}

/** Takes over the result of another run's finished stage, with the time it took there and its curves. */
export function adoptStage(db: Connection, runId: string, fromRunId: string, stage: number): void {
  statement(
    db,
    `UPDATE stages SET (status, started_at, elapsed_ms, summary) =
       (SELECT status, started_at, elapsed_ms, summary FROM stages AS other WHERE other.run_id = ? AND other.stage = stages.stage)
     WHERE run_id = ? AND stage = ?`,
  ).run(fromRunId, runId, stage);
  statement(
    db,
    'INSERT OR REPLACE INTO metrics (run_id, stage, name, step, value) SELECT ?, stage, name, step, value FROM metrics WHERE run_id = ? AND stage = ?',
  ).run(runId, fromRunId, stage);
}

/** The stage a run was in when it ended becomes failed, or pending when it can go on later. */
export function endRunningStage(db: Connection, runId: string, status: 'failed' | 'pending'): void {
  statement(db, "UPDATE stages SET status = ? WHERE run_id = ? AND status = 'running'").run(status, runId);
}

export function listStages(db: Connection, runId: string): StageRecord[] {
  return allRows<StageRow>(db, 'SELECT * FROM stages WHERE run_id = ? ORDER BY stage', runId).map((row) => ({
    index: row.stage,
    type: row.type,
    title: row.title,
    status: row.status,
    startedAt: row.started_at,
    elapsedMs: row.elapsed_ms,
    summary: row.summary === null ? null : fromJson<StageSummary>(db, row.summary, `stages.summary of run ${runId}, stage ${row.stage}`),
  }));
}
