/** The SQLite connection as the repositories use it: statements prepared once, JSON columns, and SQLite's errors in our words. */
import Database from 'better-sqlite3';
import type { ZodType } from 'zod';
import { RoundoffError } from '#contract/errors.ts';

export type Connection = Database.Database;
type Statement = Database.Statement<unknown[], unknown>;

const prepared = new WeakMap<Connection, Map<string, Statement>>();

/** The statement for `sql`, prepared once per connection. */
export function statement(db: Connection, sql: string): Statement {
  const known = prepared.get(db) ?? new Map<string, Statement>();
  prepared.set(db, known);
  const found = known.get(sql) ?? db.prepare(sql);
  known.set(sql, found);
  return found;
}

/** All rows of a query. `Row` states the columns that `sql` selects. */
export function allRows<Row>(db: Connection, sql: string, ...values: unknown[]): Row[] {
  return statement(db, sql).all(...values) as Row[];
}

/** The first row of a query, or null. */
export function firstRow<Row>(db: Connection, sql: string, ...values: unknown[]): Row | null {
  return (statement(db, sql).get(...values) as Row | undefined) ?? null;
}

/** Reads a JSON column, checked against `schema` where what is in it decides what is done. `place` names table and column in the error. */
export function fromJson<T>(db: Connection, text: string, place: string, schema?: ZodType<T>): T {
  try {
    const value: unknown = JSON.parse(text);
    return schema ? schema.parse(value) : (value as T);
  } catch (error) {
    throw damaged(db, `${place} is not ${error instanceof SyntaxError ? 'valid JSON' : 'what Roundoff writes there'}`, error);
  }
}

/** What a reader throws that finds a row no Roundoff wrote. */
export function damaged(db: Connection, finding: string, cause?: unknown): RoundoffError {
  const hint = 'Restore the project from a backup; its artifacts folder can stay.';
  return new RoundoffError('project-corrupt', `${db.name} is damaged: ${finding}.`, hint, { cause });
}

export function toJson(value: unknown): string {
  return JSON.stringify(value);
}

/** Turns an SQLite failure into one that names the project file and the remedy; anything else passes through. */
export function sqliteError(path: string, error: unknown): unknown {
  if (!(error instanceof Database.SqliteError)) return error;
  const { code, message } = error;
  const fail = (kind: ConstructorParameters<typeof RoundoffError>[0], what: string, hint: string) =>
    new RoundoffError(kind, `${path} ${what} (${message}).`, hint, { cause: error });
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB')
    return fail('project-corrupt', 'is damaged', 'Restore it from a backup; the file was left as it is.');
  if (code.startsWith('SQLITE_FULL'))
    return fail('disk-full', 'cannot grow: the disk is full', 'Free some disk space, then resume; nothing recorded is lost.');
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED'))
    return fail('project-locked', 'is in use by another program', 'Close the other program, then try again.');
  if (code.startsWith('SQLITE_READONLY') || code.startsWith('SQLITE_CANTOPEN') || code === 'SQLITE_PERM')
    return fail('read-only', 'cannot be written', 'Move the project to a folder you can write to, or change its permissions.');
  if (code.startsWith('SQLITE_IOERR'))
    return fail('disk-full', 'could not be read or written', 'Check the disk and its free space, then open the project again.');
  return error;
}
