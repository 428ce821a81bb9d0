/** Table `metrics`: points of curves, one series per stage and name. A value that is not finite is stored as NULL. */
import type { MetricSeries } from '#contract/records.ts';
import { allRows, type Connection, statement } from '../connection.ts';

export interface MetricPoint {
  stage: number;
  name: string;
  step: number;
  value: number;
}

/** A step measured again after a resume replaces the earlier point. */
export function saveMetric(db: Connection, runId: string, point: MetricPoint): void {
  statement(
    db,
    `INSERT INTO metrics (run_id, stage, name, step, value) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (run_id, stage, name, step) DO UPDATE SET value = excluded.value`,
  ).run(runId, point.stage, point.name, point.step, Number.isFinite(point.value) ? point.value : null);
}

export function listMetrics(db: Connection, runId: string): MetricSeries[] {
  const rows = allRows<Omit<MetricPoint, 'value'> & { value: number | null }>(
    db,
    'SELECT stage, name, step, value FROM metrics WHERE run_id = ? ORDER BY stage, name, step',
    runId,
  );
  const series: MetricSeries[] = [];
  for (const { stage, name, step, value } of rows) {
    let current = series.at(-1);
    if (!current || current.stage !== stage || current.name !== name) {
      current = { stage, name, points: [] };
      series.push(current);
    }
    current.points.push({ step, value: value ?? Number.NaN });
  }
  return series;
}
