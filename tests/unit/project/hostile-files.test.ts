/** Project files that no Roundoff wrote: each is refused in words, and nothing outside the project is touched. */
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { type ErrorInfo, toErrorInfo } from '#contract/errors.ts';
import { createProject, openProject } from '../../../src-main/project/project.ts';
import { listRuns } from '../../../src-main/project/repositories/runs.ts';
import { listStudies } from '../../../src-main/project/repositories/studies.ts';
import { schemaVersion, tablesOf } from '../../../src-main/project/schema.ts';
import { RunService } from '../../../src-main/runs/run-service.ts';
import { recordedProject } from '../../support/recorded-project.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const folder = temporaryFolder('hostile');
let count = 0;
const newFile = () => path.join(folder, `p${++count}.roundoff`);

/** A closed project, changed by another program. */
function tampered(sql: string): string {
  const file = newFile();
  recordedProject(file).project.close();
  const db = new Database(file);
  db.pragma('foreign_keys = OFF');
  db.exec(sql);
  db.close();
  return file;
}

function failure(action: () => unknown): ErrorInfo {
  try {
    action();
  } catch (error) {
    return toErrorInfo(error);
  }
  throw new Error('nothing was thrown');
}

describe('a path that is no project file', () => {
  it('is refused without waiting for it', () => {
    expect(failure(() => openProject('/dev/null'))).toMatchObject({
      code: 'bad-input',
      message: '/dev/null is a pipe or device, not a file.',
    });
  });

  it('is refused when its links lead in a circle', () => {
    const file = newFile();
    symlinkSync(file, file);
    const { code, message } = failure(() => openProject(file));
    expect(code).toBe('bad-input');
    expect(message).toContain(file);
  });
});

describe('a project file that was tampered with', () => {
  it('is refused with a version that never was', () => {
    for (const version of [0, -3])
      for (const readOnly of [false, true]) {
        const { code, message } = failure(() => openProject(tampered(`PRAGMA user_version = ${version}`), { readOnly }));
        expect(code).toBe('project-corrupt');
        expect(message).toContain(`its file version is ${version}`);
      }
  });

  it('is refused without any one of its tables', () => {
    const file = newFile();
    const project = createProject(file);
    const own = project.db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").pluck().all();
    project.close();
    const tables = tablesOf(schemaVersion);
    expect([...tables].sort()).toEqual(own.sort());
    for (const table of tables) {
      const { code, message } = failure(() => openProject(tampered(`DROP TABLE ${table}`)));
      expect(code).toBe('project-corrupt');
      expect(message).toContain(`it lacks the table ${table}`);
    }
  });

  it('names the column that holds something else', () => {
    const read = (sql: string, action: (project: ReturnType<typeof openProject>) => unknown) => {
      const file = tampered(sql);
      const project = openProject(file, { readOnly: true });
      const error = failure(() => action(project));
      project.close();
      expect(error).toMatchObject({ code: 'project-corrupt' });
      expect(error.message).toContain(file);
      return error.message;
    };
    expect(read(`UPDATE studies SET spec = '{"variants": 42}'`, ({ db }) => listStudies(db))).toContain('studies.spec of study 1');
    expect(read(`UPDATE studies SET spec = '{"a":'`, ({ db }) => listStudies(db))).toContain('not valid JSON');
    expect(read(`UPDATE recipes SET body = '[]'`, ({ db }) => listRuns(db, 1))).toContain('recipes.body of run s1r1');
  });

  it('cannot have folders outside its own deleted', async () => {
    const outside = path.join(folder, 'outside');
    mkdirSync(outside);
    const file = tampered(`UPDATE runs SET id = '../outside' WHERE id = 's1r2'`);
    const project = openProject(file);
    const service = new RunService(project, { resourcesDir: folder, workerEntry: '', nodeFile: '', version: '0', emit: () => undefined });
    await expect(service.deleteStudy(1)).rejects.toMatchObject({ code: 'project-corrupt' });
    expect(existsSync(outside)).toBe(true);
    project.close();
  });
});

describe('a closed project', () => {
  /** SQLite file format, section 1.3: bytes 18 and 19 are 1 without a write-ahead log, 2 with one. */
  const versions = (file: string) => [...readFileSync(file).subarray(18, 20)];

  it('needs no write-ahead log, so that it can be read in a read-only folder', () => {
    const file = newFile();
    const project = createProject(file);
    expect(versions(file)).toEqual([2, 2]);
    project.close();
    expect(versions(file)).toEqual([1, 1]);
    expect(existsSync(`${file}-wal`)).toBe(false);
  });

  it('closes although somebody is reading it', () => {
    const file = newFile();
    const project = createProject(file);
    const reader = openProject(file, { readOnly: true });
    const read = reader.db.prepare('SELECT key FROM meta').iterate();
    expect(read.next().done).toBe(false);
    project.close();
    read.return?.();
    expect(listStudies(reader.db)).toEqual([]);
    reader.close();
    openProject(file).close();
  });
});
