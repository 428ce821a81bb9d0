import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { RoundoffError } from '#contract/errors.ts';
import { artifactsFolder, createProject, openProject } from '../../../src-main/project/project.ts';
import { listModels, saveModel } from '../../../src-main/project/repositories/models.ts';
import { applicationId, schemaVersion } from '../../../src-main/project/schema.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const folder = temporaryFolder('project');
let count = 0;
const newFile = () => path.join(folder, `p${++count}.roundoff`);
const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

function closedProject(): string {
  const file = newFile();
  const project = createProject(file);
  for (let index = 0; index < 200; index++)
    saveModel(project.db, {
      path: `/models/${index}`,
      name: 'x'.repeat(300),
      architecture: 'qwen3',
      parameters: 1,
      sizeBytes: 2,
      hash: `h${index}`,
    });
  project.close();
  return file;
}

function failure(action: () => unknown): RoundoffError {
  try {
    action();
  } catch (error) {
    if (error instanceof RoundoffError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** Opening must fail with this code, name the file, offer a remedy and leave the file as it was. */
function expectRefusal(file: string, code: string): RoundoffError {
  const before = sha256(file);
  const error = failure(() => openProject(file).close());
  expect(error.code).toBe(code);
  expect(error.message).toContain(file);
  expect(error.hint.length).toBeGreaterThan(10);
  expect(sha256(file)).toBe(before);
  return error;
}

describe('createProject', () => {
  it('makes a marked SQLite file in WAL mode with foreign keys and its artifacts folder', () => {
    const file = newFile();
    const project = createProject(file);
    expect(project.db.pragma('application_id', { simple: true })).toBe(applicationId);
    expect(project.db.pragma('user_version', { simple: true })).toBe(schemaVersion);
    expect(project.db.pragma('journal_mode', { simple: true })).toBe('wal');
    expect(project.db.pragma('foreign_keys', { simple: true })).toBe(1);
    expect(existsSync(artifactsFolder(file))).toBe(true);
    expect(project.info.name).toBe(path.basename(file, '.roundoff'));
    project.close();
  });

  it('makes missing folders on the way', () => {
    const file = path.join(folder, 'new', 'deeper', 'p.roundoff');
    createProject(file).close();
    expect(existsSync(file)).toBe(true);
  });

  it('never replaces a file', () => {
    const file = closedProject();
    const before = sha256(file);
    expect(failure(() => createProject(file)).code).toBe('bad-input');
    expect(sha256(file)).toBe(before);
  });

  it('keeps every table strict', () => {
    const project = createProject(newFile());
    const tables = project.db.pragma('table_list') as { name: string; type: string; strict: number }[];
    const own = tables.filter((table) => table.type === 'table' && !table.name.startsWith('sqlite_'));
    expect(own.map((table) => table.name).sort()).toEqual(
      [
        'artifacts',
        'datasets',
        'evaluations',
        'events',
        'meta',
        'metrics',
        'models',
        'recipes',
        'runs',
        'samples',
        'stages',
        'studies',
        'study_datasets',
        'windows',
      ].sort(),
    );
    expect(own.filter((table) => table.strict !== 1)).toEqual([]);
    project.close();
  });
});

describe('openProject', () => {
  it('reads back what was written', () => {
    const file = closedProject();
    const project = openProject(file);
    expect(listModels(project.db)).toHaveLength(200);
    project.close();
  });

  it('refuses a missing file and a folder', () => {
    expect(failure(() => openProject(path.join(folder, 'missing.roundoff'))).code).toBe('not-found');
    expect(failure(() => openProject(folder)).code).toBe('bad-input');
  });

  it('refuses files that are not SQLite', () => {
    const file = newFile();
    writeFileSync(file, 'just text, long enough to be mistaken for a header '.repeat(10));
    expectRefusal(file, 'project-foreign');
    writeFileSync(file, '');
    expectRefusal(file, 'project-foreign');
  });

  it("refuses another program's SQLite file", () => {
    const file = newFile();
    const db = new Database(file);
    db.exec('CREATE TABLE notes (text TEXT)');
    db.close();
    expectRefusal(file, 'project-foreign');
  });

  it('refuses a newer version', () => {
    const file = closedProject();
    const db = new Database(file);
    db.pragma(`user_version = ${schemaVersion + 1}`);
    db.pragma('journal_mode = DELETE');
    db.close();
    expect(expectRefusal(file, 'project-newer').message).toContain(String(schemaVersion + 1));
  });

  it('refuses a truncated file, wherever it was cut', () => {
    const original = closedProject();
    const size = readFileSync(original).length;
    for (const length of [40, 4096, Math.floor(size / 2), size - 4096]) {
      const file = newFile();
      copyFileSync(original, file);
      truncateSync(file, length);
      expectRefusal(file, 'project-corrupt');
    }
  });

  it('refuses a file with damaged pages', () => {
    const file = closedProject();
    const bytes = readFileSync(file);
    const pageSize = bytes.readUInt16BE(16);
    for (let page = 2; page * pageSize < bytes.length; page += 3) bytes.fill(0xa5, page * pageSize, page * pageSize + 200);
    writeFileSync(file, bytes);
    expectRefusal(file, 'project-corrupt');
  });

  it('refuses a project without its tables', () => {
    const file = closedProject();
    const db = new Database(file);
    db.pragma('foreign_keys = OFF');
    db.exec('DROP TABLE samples');
    db.pragma('journal_mode = DELETE');
    db.close();
    expectRefusal(file, 'project-corrupt');
  });

  it('lets one process at a time write, and others read', () => {
    const file = closedProject();
    const first = openProject(file);
    expect(failure(() => openProject(file)).code).toBe('project-locked');
    const reader = openProject(file, { readOnly: true });
    expect(reader.info.readOnly).toBe(true);
    expect(listModels(reader.db)).toHaveLength(200);
    reader.close();
    first.close();
    openProject(file).close();
  });

  it.runIf(process.platform !== 'win32')('refuses a folder it cannot write to', () => {
    const dir = path.join(folder, 'read-only');
    mkdirSync(dir);
    const file = path.join(dir, 'p.roundoff');
    copyFileSync(closedProject(), file);
    chmodSync(file, 0o644);
    chmodSync(dir, 0o555);
    chmodSync(folder, 0o755);
    const [openError, createError] = asNobody(() => [
      failure(() => openProject(file)),
      failure(() => createProject(path.join(dir, 'new.roundoff'))),
    ]);
    expect(openError!.code).toBe('read-only');
    expect(openError!.message).toContain(file);
    expect(createError!.code).toBe('read-only');
    expect(existsSync(path.join(dir, 'new.roundoff'))).toBe(false);
  });
});

/** Runs as an ordinary user: permissions do not bind the superuser. */
function asNobody<T>(action: () => T): T {
  if (process.getuid!() !== 0) return action();
  process.seteuid!(65534);
  try {
    return action();
  } finally {
    process.seteuid!(0);
  }
}
