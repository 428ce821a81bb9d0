/** Table `events`: what happened in a run, in order. Progress, metrics and samples are kept in their own tables, not here. */
import type { LogLine } from '#contract/records.ts';
import type { RunEvent } from '#contract/worker.ts';
import { allRows, type Connection, fromJson, statement, toJson } from '../connection.ts';

interface EventRow {
  seq: number;
  at: number;
  type: string;
  body: string;
}

export function insertEvent(db: Connection, event: RunEvent): void {
  const { runId, seq, at, type, ...body } = event;
  statement(db, 'INSERT INTO events (run_id, seq, at, type, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING').run(
    runId,
    seq,
    at,
    type,
    toJson(body),
  );
}

/** The last `limit` log lines of a run, oldest first. */
export function listLog(db: Connection, runId: string, limit: number): LogLine[] {
  const rows = allRows<EventRow>(
    db,
    "SELECT * FROM (SELECT seq, at, type, body FROM events WHERE run_id = ? AND type = 'log' ORDER BY seq DESC LIMIT ?) ORDER BY seq",
    runId,
    limit,
  );
  return rows.map(({ seq, at, body }) => ({
    seq,
    at,
    ...fromJson<{ level: LogLine['level']; message: string }>(db, body, `events.body of run ${runId}`),
  }));
}

/** The most recent event of a type, or null. */
export function lastEvent<T extends RunEvent['type']>(db: Connection, runId: string, type: T): Extract<RunEvent, { type: T }> | null {
  const row = allRows<EventRow>(
    db,
    'SELECT seq, at, type, body FROM events WHERE run_id = ? AND type = ? ORDER BY seq DESC LIMIT 1',
    runId,
    type,
  )[0];
  if (!row) return null;
  const body = fromJson<object>(db, row.body, `events.body of run ${runId}`);
  return { ...body, type, runId, seq: row.seq, at: row.at } as Extract<RunEvent, { type: T }>;
}
