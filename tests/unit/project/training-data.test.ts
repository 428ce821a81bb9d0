/** Projects from before training was recorded open, keep their datasets and what refers to them, and take training data from then on. */

import path from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { migrate } from '../../../src-main/project/migrate.ts';
import { createProject, openProject } from '../../../src-main/project/project.ts';
import { findDataset, saveDataset } from '../../../src-main/project/repositories/datasets.ts';
import { applicationId, migrations } from '../../../src-main/project/schema.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const folder = temporaryFolder('training-data');

/** A file of version 1 with a benchmark that an evaluation refers to. */
function oldProject(name: string, evaluatedDataset = 7): string {
  const file = path.join(folder, name);
  const db = new Database(file);
  db.pragma(`application_id = ${applicationId}`);
  migrate(db, migrations.slice(0, 1));
  db.pragma('foreign_keys = OFF');
  db.exec(`
    INSERT INTO meta VALUES ('createdAt', '1');
    INSERT INTO models VALUES (1, '/m', 'm', 'qwen3', 1, 2, 'h', 3);
    INSERT INTO datasets VALUES (7, 'benchmark', 'sums', '/sums.jsonl', 'abc', 10, 100, 5), (9, 'calibration', 'text', '/text.jsonl', 'def', 3, 30, 6);
    INSERT INTO recipes VALUES (1, 'r', 'r', '{}');
    INSERT INTO studies VALUES (1, 's', '{}', 'x', 'y', '{}', 4);
    INSERT INTO runs VALUES ('s1r1', 1, 0, 'baseline', 1, NULL, 1, 1, 42, 'finished', 'wasm', NULL, NULL, NULL, NULL, 1, 2, 3, 0);
    INSERT INTO evaluations VALUES ('s1r1', 0, 0, 'sums', ${evaluatedDataset}, 'y', 10);
  `);
  db.close();
  return file;
}

describe('training data in a project', () => {
  it('comes with a new version that leaves old records as they are', () => {
    const project = openProject(oldProject('old.roundoff'));
    const { db } = project;
    expect(db.pragma('user_version', { simple: true })).toBe(migrations.length);
    expect(db.prepare('SELECT id, kind, name, added_at FROM datasets ORDER BY id').all()).toEqual([
      { id: 7, kind: 'benchmark', name: 'sums', added_at: 5 },
      { id: 9, kind: 'calibration', name: 'text', added_at: 6 },
    ]);
    expect(db.pragma('foreign_keys', { simple: true })).toBe(1);
    expect(db.pragma('foreign_key_check')).toEqual([]);
    expect(() => db.exec('DELETE FROM datasets WHERE id = 7')).toThrow(/FOREIGN KEY/);
    const rows = { name: 'maths', path: '/maths.jsonl', sha256: 'f', rows: 5, sizeBytes: 50 };
    const id = saveDataset(db, { kind: 'training', ...rows });
    expect(findDataset(db, 'training', '/maths.jsonl')).toEqual({ id, kind: 'training', ...rows });
    expect(() => db.exec("INSERT INTO datasets VALUES (99, 'other', 'x', 'x', 'x', 1, 1, 1)")).toThrow(/CHECK/);
    project.close();
  });

  it('has the constraints of a new project', () => {
    const sql = (file: string) => {
      const db = new Database(file, { readonly: true });
      try {
        return db.prepare("SELECT sql FROM sqlite_schema WHERE name IN ('datasets', 'evaluations') ORDER BY name").all();
      } finally {
        db.close();
      }
    };
    const fresh = path.join(folder, 'fresh.roundoff');
    createProject(fresh).close();
    const upgraded = oldProject('other.roundoff');
    openProject(upgraded).close();
    expect(sql(upgraded)).toEqual(sql(fresh));
  });

  it('is not added to a file whose records refer to nothing', () => {
    const file = oldProject('broken.roundoff', 1234);
    expect(() => openProject(file)).toThrow(expect.objectContaining({ code: 'project-corrupt' }));
    const db = new Database(file, { readonly: true });
    expect(db.pragma('user_version', { simple: true })).toBe(1);
    db.close();
  });
});
