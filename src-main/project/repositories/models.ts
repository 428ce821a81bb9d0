/** Table `models`: model folders as they were when a study used them; a folder whose content changed is another row. */
import type { ModelRecord } from '#contract/records.ts';
import { allRows, type Connection, firstRow, statement } from '../connection.ts';

interface ModelRow {
  id: number;
  path: string;
  name: string;
  architecture: string;
  parameters: number;
  size_bytes: number;
  hash: string;
  added_at: number;
}

export type NewModel = Omit<ModelRecord, 'id' | 'addedAt'>;

/** The id of this folder with this content, added when it is new. */
export function saveModel(db: Connection, model: NewModel): number {
  const known = firstRow<{ id: number }>(db, 'SELECT id FROM models WHERE path = ? AND hash = ?', model.path, model.hash);
  if (known) return known.id;
  const { lastInsertRowid } = statement(
    db,
    'INSERT INTO models (path, name, architecture, parameters, size_bytes, hash, added_at) VALUES (?, ?, ?, ?, ?, ?, ?)',
  ).run(model.path, model.name, model.architecture, model.parameters, model.sizeBytes, model.hash, Date.now());
  return Number(lastInsertRowid);
}

export function listModels(db: Connection): ModelRecord[] {
  return allRows<ModelRow>(db, 'SELECT * FROM models ORDER BY id').map(toRecord);
}

export function findModel(db: Connection, id: number): ModelRecord | null {
  const row = firstRow<ModelRow>(db, 'SELECT * FROM models WHERE id = ?', id);
  return row && toRecord(row);
}

function toRecord(row: ModelRow): ModelRecord {
  return {
    id: row.id,
    path: row.path,
    name: row.name,
    architecture: row.architecture,
    parameters: row.parameters,
    sizeBytes: row.size_bytes,
    hash: row.hash,
    addedAt: row.added_at,
  };
}
