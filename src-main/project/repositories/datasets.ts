/** Table `datasets`: benchmark and calibration files as they were when a study used them. */
import type { DatasetKind } from '#contract/records.ts';
import { allRows, type Connection, firstRow, statement } from '../connection.ts';

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

/** Notes that a study uses a file as it is now. */
export function linkDataset(db: Connection, studyId: number, datasetId: number): void {
  statement(db, 'INSERT INTO study_datasets (study_id, dataset_id) VALUES (?, ?) ON CONFLICT DO NOTHING').run(studyId, datasetId);
}

/** The files of a study; none for a study made before they were noted. */
export function listStudyDatasets(db: Connection, studyId: number): DatasetRecord[] {
  return allRows<DatasetRecord>(
    db,
    `SELECT id, kind, name, path, sha256, row_count AS rows, size_bytes AS sizeBytes
     FROM study_datasets JOIN datasets ON datasets.id = dataset_id WHERE study_id = ? ORDER BY id`,
    studyId,
  );
}
