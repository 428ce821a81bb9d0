/** Table `runs`: one row per execution of a recipe, from the queue to its end. */
import type { ErrorInfo } from '#contract/errors.ts';
import { type Recipe, recipeSchema } from '#contract/recipe.ts';
import type { RunProgress, RunRecord, RunStatus } from '#contract/records.ts';
import type { BackendPreference } from '#contract/worker.ts';
import { allRows, type Connection, damaged, firstRow, fromJson, statement, toJson } from '../connection.ts';

interface RunRow {
  id: string;
  study_id: number;
  name: string;
  is_baseline: number;
  parent_run_id: string | null;
  model_id: number;
  seed: number;
  recipe: string;
  status: RunStatus;
  backend: RunRecord['backend'];
  device: string | null;
  progress: string | null;
  error: string | null;
  created_at: number;
  started_at: number | null;
  finished_at: number | null;
  last_seq: number;
}

export interface NewRun {
  id: string;
  studyId: number;
  position: number;
  name: string;
  isBaseline: boolean;
  modelId: number;
  recipeId: number;
  seed: number;
  backend: BackendPreference;
}

/** What changes while a run lives; keys left out stay as they are. */
export interface RunChange {
  status?: RunStatus;
  backend?: RunRecord['backend'];
  device?: string | null;
  progress?: RunProgress | null;
  error?: ErrorInfo | null;
  startedAt?: number | null;
  finishedAt?: number | null;
  lastSeq?: number;
}

const selection = 'SELECT runs.*, recipes.body AS recipe FROM runs JOIN recipes ON recipes.id = runs.recipe_id';

const columns: Record<keyof RunChange, string> = {
  status: 'status',
  backend: 'backend',
  device: 'device',
  progress: 'progress',
  error: 'error',
  startedAt: 'started_at',
  finishedAt: 'finished_at',
  lastSeq: 'last_seq',
};

/** Adds a queued run. */
export function insertRun(db: Connection, run: NewRun): void {
  statement(
    db,
    `INSERT INTO runs (id, study_id, position, name, is_baseline, model_id, recipe_id, seed, status, backend_preference, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?)`,
  ).run(run.id, run.studyId, run.position, run.name, run.isBaseline ? 1 : 0, run.modelId, run.recipeId, run.seed, run.backend, Date.now());
}

export function updateRun(db: Connection, id: string, change: RunChange): void {
  const entries = Object.entries(change) as [keyof RunChange, unknown][];
  if (entries.length === 0) return;
  const values = entries.map(([, value]) => (value !== null && typeof value === 'object' ? toJson(value) : value));
  statement(db, `UPDATE runs SET ${entries.map(([key]) => `${columns[key]} = ?`).join(', ')} WHERE id = ?`).run(...values, id);
}

/** Notes from which run this one took over its first stages. */
export function setParentRun(db: Connection, id: string, parentId: string): void {
  statement(db, 'UPDATE runs SET parent_run_id = ? WHERE id = ?').run(parentId, id);
}

export function findRun(db: Connection, id: string): RunRecord | null {
  const row = firstRow<RunRow>(db, `${selection} WHERE runs.id = ?`, id);
  return row && toRecord(db, row);
}

/** Runs of one study, or of all (`null`), in the order they were planned. */
export function listRuns(db: Connection, studyId: number | null): RunRecord[] {
  const rows =
    studyId === null
      ? allRows<RunRow>(db, `${selection} ORDER BY study_id, position`)
      : allRows<RunRow>(db, `${selection} WHERE study_id = ? ORDER BY position`, studyId);
  return rows.map((row) => toRecord(db, row));
}

export function backendPreference(db: Connection, id: string): BackendPreference {
  return firstRow<{ backend: BackendPreference }>(db, 'SELECT backend_preference AS backend FROM runs WHERE id = ?', id)?.backend ?? 'auto';
}

/** Runs that another process left unfinished can be resumed; called when a project is opened. */
export function markInterrupted(db: Connection): number {
  return statement(db, "UPDATE runs SET status = 'interrupted' WHERE status IN ('running', 'stopping', 'queued')").run().changes;
}

/** A run's id names its folder: in a file made by somebody else it must not lead anywhere else. */
const safeId = /^[\w-]{1,64}$/;

function toRecord(db: Connection, row: RunRow): RunRecord {
  if (!safeId.test(row.id)) throw damaged(db, `runs.id ${JSON.stringify(row.id.slice(0, 80))} is not the id of a run`);
  const json = <T>(text: string | null, column: string): T | null =>
    text === null ? null : fromJson<T>(db, text, `runs.${column} of run ${row.id}`);
  return {
    id: row.id,
    studyId: row.study_id,
    name: row.name,
    isBaseline: row.is_baseline === 1,
    parentRunId: row.parent_run_id,
    modelId: row.model_id,
    seed: row.seed,
    recipe: fromJson<Recipe>(db, row.recipe, `recipes.body of run ${row.id}`, recipeSchema),
    status: row.status,
    backend: row.backend,
    device: row.device,
    progress: json<RunProgress>(row.progress, 'progress'),
    error: json<ErrorInfo>(row.error, 'error'),
    createdAt: row.created_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    lastSeq: row.last_seq,
  };
}
