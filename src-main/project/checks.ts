/** Checks on a project file before it is opened for writing. None of them changes it. */
import { closeSync, openSync, readSync, statSync, unlinkSync } from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import { RoundoffError } from '#contract/errors.ts';
import { sqliteError } from './connection.ts';
import { applicationId, schemaVersion, tablesOf } from './schema.ts';

/** The SQLite file format, section 1.3: magic at 0, user version at 60, application id at 68, big endian. */
const headerBytes = 100;
const magic = 'SQLite format 3\0';

/** Throws `not-found`, `bad-input`, `project-foreign`, `project-newer` or `project-corrupt` from the first 100 bytes alone. */
export function checkHeader(file: string): void {
  const header = readHeader(file);
  if (header.length === 0 || header.toString('latin1', 0, magic.length) !== magic.slice(0, header.length))
    throw foreign(file, 'it is not an SQLite file');
  if (header.length < headerBytes) throw corrupt(file, `it ends after ${header.length} bytes`);
  if (header.readInt32BE(68) !== applicationId) throw foreign(file, 'it is an SQLite file of another program');
  checkVersion(file, header.readInt32BE(60));
}

/** Reads the whole file through SQLite without writing. Throws `project-corrupt` or `project-newer`. */
export function checkContent(file: string): void {
  let db: Database.Database | null = null;
  try {
    db = new Database(file, { readonly: true, fileMustExist: true });
    const version = db.pragma('user_version', { simple: true }) as number;
    checkVersion(file, version);
    const findings = (db.pragma('quick_check(20)') as { quick_check: string }[]).map((row) => row.quick_check);
    if (findings[0] !== 'ok') throw corrupt(file, findings[0] ?? 'the check gave no result', findings);
    const present = new Set(db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").pluck().all());
    const missing = tablesOf(version).filter((table) => !present.has(table));
    if (missing.length > 0) throw corrupt(file, `it lacks the table ${missing.join(', ')}`);
  } catch (error) {
    throw sqliteError(file, error);
  } finally {
    db?.close();
  }
}

/** Throws `read-only` unless files can be made in `dir` and, when given, `file` can be written. */
export function checkWritable(dir: string, file?: string): void {
  const probe = path.join(dir, `.roundoff-${process.pid}.partial`);
  try {
    closeSync(openSync(probe, 'w'));
    unlinkSync(probe);
    if (file !== undefined) closeSync(openSync(file, 'r+'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOSPC')
      throw new RoundoffError('disk-full', `There is no space left in ${dir}.`, 'Free some disk space, then try again.', { cause: error });
    throw new RoundoffError(
      'read-only',
      `${file ?? dir} cannot be written (${message}).`,
      'Choose a folder you can write to, or change its permissions. A project needs its folder writable too.',
      { cause: error },
    );
  }
}

function readHeader(file: string): Buffer {
  let handle: number | null = null;
  try {
    const kind = statSync(file);
    if (kind.isDirectory()) throw new RoundoffError('bad-input', `${file} is a folder.`, 'Choose a .roundoff file.');
    if (!kind.isFile()) throw new RoundoffError('bad-input', `${file} is a pipe or device, not a file.`, 'Choose a .roundoff file.');
    handle = openSync(file, 'r');
    const buffer = Buffer.alloc(headerBytes);
    return buffer.subarray(0, readSync(handle, buffer, 0, headerBytes, 0));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new RoundoffError('not-found', `${file} does not exist.`, 'Check the path, or create a new project.', { cause: error });
    if (code === 'EACCES' || code === 'EPERM')
      throw new RoundoffError('read-only', `${file} may not be read.`, 'Give your user permission to read and write it.', { cause: error });
    throw error;
  } finally {
    if (handle !== null) closeSync(handle);
  }
}

function checkVersion(file: string, version: number): void {
  if (version < 1) throw corrupt(file, `its file version is ${version}`);
  if (version > schemaVersion)
    throw new RoundoffError(
      'project-newer',
      `${file} was written by a newer Roundoff (file version ${version}, this one reads up to ${schemaVersion}).`,
      'Update Roundoff to open it; the file was left as it is.',
    );
}

function foreign(file: string, reason: string): RoundoffError {
  return new RoundoffError(
    'project-foreign',
    `${file} is not a Roundoff project: ${reason}.`,
    'Choose a .roundoff file, or create a new project.',
  );
}

function corrupt(file: string, reason: string, problems: string[] = []): RoundoffError {
  return new RoundoffError(
    'project-corrupt',
    `${file} is damaged: ${reason}.`,
    'Restore it from a backup; the file was left as it is. The checkpoints in its artifacts folder are still usable as models.',
    { problems },
  );
}
