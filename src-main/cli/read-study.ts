/** Reads one study of a project without locking it. */
import { RoundoffError } from '#contract/errors.ts';
import type { StudyRecord } from '#contract/records.ts';
import type { Connection } from '../project/connection.ts';
import { openProject } from '../project/project.ts';
import { findStudy, listStudies } from '../project/repositories/studies.ts';

/** Gives `use` the study with this id, or the newest one. Throws `not-found` when there is none. */
export function readStudy<T>(file: string, id: number | null, use: (db: Connection, study: StudyRecord) => T): T {
  const project = openProject(file, { readOnly: true });
  try {
    const study = id === null ? (listStudies(project.db)[0] ?? null) : findStudy(project.db, id);
    if (!study)
      throw new RoundoffError(
        'not-found',
        id === null ? `${project.info.path} holds no study.` : `${project.info.path} holds no study ${id}.`,
        'Run one with `study run`, or give another project.',
      );
    return use(project.db, study);
  } finally {
    project.close();
  }
}
