/**
 * Keeps two running Roundoffs off the same project: an operating-system lock on `.lock` in the artifacts folder, held through SQLite,
 * so that it is gone with the process however that ends. Reading a project needs no lock.
 */
import path from 'node:path';
import Database from 'better-sqlite3';
import { RoundoffError } from '#contract/errors.ts';
import { sqliteError } from './connection.ts';

export interface ProjectLock {
  release(): void;
}

/** Takes the lock or throws `project-locked`. `artifactsDir` exists. */
export function lockProject(projectFile: string, artifactsDir: string): ProjectLock {
  const lockFile = path.join(artifactsDir, '.lock');
  let lock: Database.Database | null = null;
  try {
    lock = new Database(lockFile, { timeout: 0 });
    lock.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    lock?.close();
    const code = error instanceof Database.SqliteError ? error.code : '';
    if (!code.startsWith('SQLITE_BUSY')) throw sqliteError(lockFile, error);
    throw new RoundoffError(
      'project-locked',
      `${projectFile} is open in another Roundoff.`,
      'Close it there first, or work on another project. `study show` and `report` can read it meanwhile.',
      { cause: error },
    );
  }
  return { release: () => lock.close() };
}
