/** Table `datasets`: benchmark and calibration files as they were when a study used them. */
import type { DatasetKind } from '#contract/records.ts';
import { type Connection, firstRow, statement } from '../connection.ts';

export interface DatasetRecord {
  id: number;
  kind: DatasetKind;
  name: string;
  path: string;
  sha256: string;
  rows: number;
  sizeBytes: number;
}

/** The id of this file with this content, added when it is new. */
export function saveDataset(db: Connection, dataset: Omit<DatasetRecord, 'id'>): number {
  const { kind, name, path, sha256, rows, sizeBytes } = dataset;
  const known = firstRow<{ id: number }>(db, 'SELECT id FROM datasets WHERE kind = ? AND path = ? AND sha256 = ?', kind, path, sha256);
  if (known) return known.id;
  const { lastInsertRowid } = statement(
    db,
    'INSERT INTO datasets (kind, name, path, sha256, row_count, size_bytes, added_at) VALUES (?, ?, ?, ?, ?, ?, ?)',
  ).run(kind, name, path, sha256, rows, sizeBytes, Date.now());
  return Number(lastInsertRowid);
}

/** The newest record of a file. */
export function findDataset(db: Connection, kind: DatasetKind, path: string): DatasetRecord | null {
  return firstRow<DatasetRecord>(
    db,
    `SELECT id, kind, name, path, sha256, row_count AS rows, size_bytes AS sizeBytes FROM datasets
     WHERE kind = ? AND path = ? ORDER BY id DESC LIMIT 1`,
    kind,
    path,
  );
}
