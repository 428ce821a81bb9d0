/** Table `windows`: how likely a run's model finds each window of the texts whose perplexity is measured. */
import type { TextWindow } from '#contract/worker.ts';
import { allRows, type Connection, statement } from '../connection.ts';

/** Records a window; one that is already there stands. */
export function insertWindow(db: Connection, runId: string, { benchmark, window, tokens, nats }: TextWindow): void {
  statement(db, 'INSERT INTO windows (run_id, benchmark, window, tokens, nats) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING').run(
    runId,
    benchmark,
    window,
    tokens,
    nats,
  );
}

/** In the order of the text. */
export function listWindows(db: Connection, runId: string): TextWindow[] {
  return allRows<TextWindow>(db, 'SELECT benchmark, window, tokens, nats FROM windows WHERE run_id = ? ORDER BY benchmark, window', runId);
}
