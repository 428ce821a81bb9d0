/** Table `artifacts`: files and folders a run left in the project's artifacts folder. */
import type { ArtifactRecord } from '#contract/records.ts';
import { allRows, type Connection, statement } from '../connection.ts';

/** An artifact written again after a resume replaces the earlier record. */
export function saveArtifact(db: Connection, runId: string, artifact: ArtifactRecord): void {
  statement(
    db,
    `INSERT INTO artifacts (run_id, stage, kind, path, sha256, size_bytes) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (run_id, path) DO UPDATE SET sha256 = excluded.sha256, size_bytes = excluded.size_bytes, kind = excluded.kind`,
  ).run(runId, artifact.stage, artifact.kind, artifact.path, artifact.sha256, artifact.sizeBytes);
}

export function listArtifacts(db: Connection, runId: string): ArtifactRecord[] {
  return allRows<ArtifactRecord>(
    db,
    'SELECT stage, kind, path, sha256, size_bytes AS sizeBytes FROM artifacts WHERE run_id = ? ORDER BY stage, id',
    runId,
  );
}
