/**
 * Creating and opening project files. Everything is checked before the first write: a file that is foreign, newer, damaged, locked or in
 * a read-only folder is refused with the remedy and stays exactly as it was.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import { RoundoffError } from '#contract/errors.ts';
import type { ProjectInfo } from '#contract/records.ts';
import { checkContent, checkHeader, checkWritable } from './checks.ts';
import { type Connection, sqliteError } from './connection.ts';
import { lockProject, type ProjectLock } from './lock.ts';
import { migrate } from './migrate.ts';
import { readMeta, writeMeta } from './repositories/meta.ts';
import { applicationId, schemaVersion } from './schema.ts';

export interface Project {
  db: Connection;
  info: ProjectInfo;
  close(): void;
}

export const projectExtension = '.roundoff';

/** Creates an empty project and opens it. Throws `bad-input` when the file exists, `read-only`, `disk-full`. */
export function createProject(file: string): Project {
  const target = path.resolve(file);
  if (existsSync(target)) throw new RoundoffError('bad-input', `${target} already exists.`, 'Open it instead, or choose another name.');
  makeFolder(path.dirname(target));
  checkWritable(path.dirname(target));
  const temporary = `${target}.${process.pid}.partial`;
  try {
    const db = new Database(temporary);
    db.pragma(`application_id = ${applicationId}`);
    migrate(db);
    writeMeta(db, 'createdAt', String(Date.now()));
    db.close();
    renameSync(temporary, target);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw sqliteError(target, error);
  }
  return openProject(target);
}

/**
 * Opens a project for this process alone, or without a lock for reading only.
 * Throws `not-found`, `project-foreign`, `project-newer`, `project-corrupt`, `project-locked`, `read-only`.
 */
export function openProject(file: string, options: { readOnly?: boolean } = {}): Project {
  const target = path.resolve(file);
  const readOnly = options.readOnly ?? false;
  checkHeader(target);
  if (readOnly) return connect(target, { readOnly, lock: null });
  checkWritable(path.dirname(target), target);
  makeFolder(artifactsFolder(target));
  const lock = lockProject(target, artifactsFolder(target));
  try {
    checkContent(target);
    return connect(target, { readOnly, lock });
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** The folder beside the project file that holds its weights. */
export function artifactsFolder(file: string): string {
  return `${file.endsWith(projectExtension) ? file.slice(0, -projectExtension.length) : file}.artifacts`;
}

function connect(target: string, { readOnly, lock }: { readOnly: boolean; lock: ProjectLock | null }): Project {
  let db: Connection | null = null;
  try {
    if (readOnly) checkContent(target);
    db = new Database(target, { readonly: readOnly, fileMustExist: true });
    if (!readOnly) {
      db.pragma('journal_mode = WAL');
      db.pragma('synchronous = NORMAL');
      migrate(db);
    } else if ((db.pragma('user_version', { simple: true }) as number) < schemaVersion) db = upgradedCopy(db);
    db.pragma('foreign_keys = ON');
    return open(db, target, readOnly, lock);
  } catch (error) {
    db?.close();
    throw sqliteError(target, error);
  }
}

function open(db: Connection, target: string, readOnly: boolean, lock: ProjectLock | null): Project {
  return {
    db,
    info: {
      path: target,
      name: path.basename(target, projectExtension),
      artifactsDir: artifactsFolder(target),
      createdAt: Number(readMeta(db, 'createdAt') ?? 0),
      schemaVersion,
      readOnly,
    },
    close: () => {
      if (!readOnly) leaveReadable(db);
      db.close();
      lock?.release();
    },
  };
}

/** A file of an older version that may not be written, brought up to date in memory. */
function upgradedCopy(db: Connection): Connection {
  const image = db.serialize();
  db.close();
  // Bytes 18 and 19 ask for a write-ahead log, which a database in memory cannot have (SQLite file format, section 1.3.3).
  image.fill(1, 18, 20);
  const copy = new Database(image);
  try {
    migrate(copy);
    copy.pragma('query_only = ON');
    return copy;
  } catch (error) {
    copy.close();
    throw error;
  }
}

/** Without a write-ahead log SQLite can read the file in a read-only folder too. While somebody reads it, it keeps its log. */
function leaveReadable(db: Connection): void {
  try {
    db.pragma('busy_timeout = 0');
    db.pragma('journal_mode = DELETE');
  } catch (error) {
    if (!(error instanceof Database.SqliteError)) throw error;
  }
}

function makeFolder(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true });
  } catch (error) {
    throw new RoundoffError(
      'read-only',
      `The folder ${dir} could not be made (${(error as Error).message}).`,
      'Choose a folder you can write to, or change its permissions.',
      { cause: error },
    );
  }
}
