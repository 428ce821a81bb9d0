import { copyFileSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { migrate } from '../../../src-main/project/migrate.ts';
import { openProject } from '../../../src-main/project/project.ts';
import { compareSamples, studyOutcomes } from '../../../src-main/project/repositories/samples.ts';
import { applicationId, migrations, schemaVersion } from '../../../src-main/project/schema.ts';
import { exampleSample, recordedProject } from '../../support/recorded-project.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const schemaOf = (db: Database.Database) => db.prepare('SELECT type, name, sql FROM sqlite_schema ORDER BY type, name').all();

function migrated(steps: readonly string[]): Database.Database {
  const db = new Database(':memory:');
  migrate(db, steps);
  return db;
}

describe('migrate', () => {
  it('gives a file of any version the schema of a new one', () => {
    const expected = schemaOf(migrated(migrations));
    for (let version = 0; version < migrations.length; version++) {
      const db = migrated(migrations.slice(0, version));
      expect(db.pragma('user_version', { simple: true })).toBe(version);
      migrate(db);
      expect(schemaOf(db)).toEqual(expected);
      expect(db.pragma('user_version', { simple: true })).toBe(migrations.length);
    }
  });

  it('keeps rows while upgrading step by step', () => {
    const steps = ['CREATE TABLE a (x INTEGER) STRICT', 'ALTER TABLE a ADD COLUMN y INTEGER', 'UPDATE a SET y = x * 2'];
    const db = migrated(steps.slice(0, 1));
    db.exec('INSERT INTO a VALUES (21)');
    migrate(db, steps);
    expect(db.prepare('SELECT * FROM a').all()).toEqual([{ x: 21, y: 42 }]);
  });

  it('leaves a file as it was when a step fails', () => {
    const db = migrated(['CREATE TABLE a (x INTEGER) STRICT']);
    expect(() => migrate(db, ['CREATE TABLE a (x INTEGER) STRICT', 'CREATE TABLE b (y INTEGER) STRICT', 'NOT SQL'])).toThrow();
    expect(db.pragma('user_version', { simple: true })).toBe(1);
    expect(schemaOf(db)).toHaveLength(1);
  });
});

describe('a file of an older version', () => {
  /** Version 2 with one sample, as an app that was killed leaves it: still in WAL mode. */
  function olderFile(): string {
    const folder = temporaryFolder('older');
    const { project, runIds } = recordedProject(path.join(folder, 'new.roundoff'));
    project.close();
    const file = path.join(folder, 'older.roundoff');
    const db = new Database(file);
    db.pragma(`application_id = ${applicationId}`);
    migrate(db, migrations.slice(0, 2));
    db.pragma('journal_mode = WAL');
    db.exec(`ATTACH '${path.join(folder, 'new.roundoff')}' AS new; PRAGMA foreign_keys = OFF;`);
    for (const table of ['meta', 'models', 'recipes', 'studies', 'runs', 'stages'])
      db.exec(`INSERT INTO ${table} SELECT * FROM new.${table}`);
    const { benchmark, seed, problemId, prompt, gold, extracted, verdict, completionTokens, finishReason } = exampleSample('p1');
    db.prepare(
      `INSERT INTO samples (run_id, stage, benchmark, seed, problem_id, prompt, completion, gold, extracted, verdict, completion_tokens, finish_reason)
       VALUES (?, 0, ?, ?, ?, ?, '<think>2+2</think>4', ?, ?, ?, ?, ?)`,
    ).run(runIds[0], benchmark, seed, problemId, prompt, gold, extracted, verdict, completionTokens, finishReason);
    db.exec('DETACH new');
    db.pragma('wal_checkpoint(TRUNCATE)');
    copyFileSync(file, `${file}.copy`);
    db.close();
    copyFileSync(`${file}.copy`, file);
    for (const end of ['-wal', '-shm']) rmSync(file + end, { force: true });
    return file;
  }

  it('is read without being written', () => {
    const file = olderFile();
    const before = readFileSync(file);
    expect(before[18]).toBe(2);
    const project = openProject(file, { readOnly: true });
    expect(studyOutcomes(project.db, 1)).toEqual([[expect.any(String), 'sums', 42, 'p1', 'correct', 5, 'stop', 1, '4']]);
    expect(() => project.db.exec('DELETE FROM samples')).toThrow(/readonly/);
    project.close();
    expect(readFileSync(file).equals(before)).toBe(true);
  });

  it('is brought up to date when it is opened for writing', () => {
    const file = olderFile();
    openProject(file).close();
    const project = openProject(file, { readOnly: true });
    expect(project.db.pragma('user_version', { simple: true })).toBe(schemaVersion);
    expect(studyOutcomes(project.db, 1)).toHaveLength(1);
    expect(compareSamples(project.db, { studyId: 1, benchmark: 'sums', problemId: 'p1', seed: 42 })).toMatchObject([{ detail: null }]);
    project.close();
  });
});
