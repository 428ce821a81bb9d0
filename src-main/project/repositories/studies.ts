/** Table `studies`: the frozen specification of each study, with the hash of its protocol and the environment it was made in. */
import { type StudySpec, studySpecSchema } from '#contract/recipe.ts';
import type { StudyRecord } from '#contract/records.ts';
import { allRows, type Connection, firstRow, fromJson, statement, toJson } from '../connection.ts';

interface StudyRow {
  id: number;
  name: string;
  spec: string;
  protocol_hash: string;
  created_at: number;
  run_count: number;
  finished_count: number;
  failed_count: number;
  active_count: number;
}

export interface NewStudy {
  spec: StudySpec;
  specHash: string;
  protocolHash: string;
  environment: Record<string, string>;
}

const selection = `
  SELECT studies.id, studies.name, spec, protocol_hash, studies.created_at,
    count(runs.id) AS run_count,
    count(*) FILTER (WHERE runs.status = 'finished') AS finished_count,
    count(*) FILTER (WHERE runs.status IN ('failed', 'cancelled', 'interrupted')) AS failed_count,
    count(*) FILTER (WHERE runs.status IN ('queued', 'running', 'stopping')) AS active_count
  FROM studies LEFT JOIN runs ON runs.study_id = studies.id`;

export function insertStudy(db: Connection, study: NewStudy): number {
  const { lastInsertRowid } = statement(
    db,
    'INSERT INTO studies (name, spec, spec_hash, protocol_hash, environment, created_at) VALUES (?, ?, ?, ?, ?, ?)',
  ).run(study.spec.name, toJson(study.spec), study.specHash, study.protocolHash, toJson(study.environment), Date.now());
  return Number(lastInsertRowid);
}

/** Newest first. */
export function listStudies(db: Connection): StudyRecord[] {
  return allRows<StudyRow>(db, `${selection} GROUP BY studies.id ORDER BY studies.id DESC`).map((row) => toRecord(db, row));
}

export function findStudy(db: Connection, id: number): StudyRecord | null {
  const row = firstRow<StudyRow>(db, `${selection} WHERE studies.id = ? GROUP BY studies.id`, id);
  return row && toRecord(db, row);
}

export function readStudyEnvironment(db: Connection, id: number): Record<string, string> {
  const row = firstRow<{ environment: string }>(db, 'SELECT environment FROM studies WHERE id = ?', id);
  return row ? fromJson(db, row.environment, `studies.environment of study ${id}`) : {};
}

/** Removes the study with all its runs and what they recorded. */
export function deleteStudy(db: Connection, id: number): void {
  statement(db, 'DELETE FROM studies WHERE id = ?').run(id);
}

function toRecord(db: Connection, row: StudyRow): StudyRecord {
  const spec = fromJson<StudySpec>(db, row.spec, `studies.spec of study ${row.id}`, studySpecSchema);
  return {
    id: row.id,
    name: row.name,
    spec,
    protocol: spec.protocol,
    protocolHash: row.protocol_hash,
    createdAt: row.created_at,
    runCount: row.run_count,
    finishedCount: row.finished_count,
    failedCount: row.failed_count,
    activeCount: row.active_count,
  };
}
