import Database from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { migrate } from '../../../src-main/project/migrate.ts';
import { migrations } from '../../../src-main/project/schema.ts';

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
