/**
 * The schema of a project file as a list of migrations: file version N is what the first N entries make. Entries that have been
 * released never change; a new version is a new entry.
 */

/** Marks an SQLite file as a Roundoff project ("Rndf"). */
export const applicationId = 0x526e6466;

const version1 = `
CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE models (
  id INTEGER PRIMARY KEY,
  path TEXT NOT NULL,
  name TEXT NOT NULL,
  architecture TEXT NOT NULL,
  parameters INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL,
  hash TEXT NOT NULL,
  added_at INTEGER NOT NULL,
  UNIQUE (path, hash)
) STRICT;

CREATE TABLE datasets (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('benchmark', 'calibration')),
  name TEXT NOT NULL,
  path TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  row_count INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL,
  added_at INTEGER NOT NULL,
  UNIQUE (kind, path, sha256)
) STRICT;

CREATE TABLE recipes (
  id INTEGER PRIMARY KEY,
  hash TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  body TEXT NOT NULL
) STRICT;

CREATE TABLE studies (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  spec TEXT NOT NULL,
  spec_hash TEXT NOT NULL,
  protocol_hash TEXT NOT NULL,
  environment TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE runs (
  id TEXT PRIMARY KEY,
  study_id INTEGER NOT NULL REFERENCES studies (id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  name TEXT NOT NULL,
  is_baseline INTEGER NOT NULL CHECK (is_baseline IN (0, 1)),
  parent_run_id TEXT REFERENCES runs (id),
  model_id INTEGER NOT NULL REFERENCES models (id),
  recipe_id INTEGER NOT NULL REFERENCES recipes (id),
  seed INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'stopping', 'finished', 'failed', 'cancelled', 'interrupted')),
  backend_preference TEXT NOT NULL,
  backend TEXT,
  device TEXT,
  progress TEXT,
  error TEXT,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  last_seq INTEGER NOT NULL DEFAULT 0,
  UNIQUE (study_id, position)
) STRICT;

CREATE TABLE stages (
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  stage INTEGER NOT NULL,
  type TEXT NOT NULL,
  title TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'finished', 'failed')),
  started_at INTEGER,
  elapsed_ms REAL,
  summary TEXT,
  PRIMARY KEY (run_id, stage)
) STRICT, WITHOUT ROWID;

CREATE TABLE metrics (
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  stage INTEGER NOT NULL,
  name TEXT NOT NULL,
  step INTEGER NOT NULL,
  value REAL,
  PRIMARY KEY (run_id, stage, name, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE evaluations (
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  stage INTEGER NOT NULL,
  position INTEGER NOT NULL,
  benchmark TEXT NOT NULL,
  dataset_id INTEGER NOT NULL REFERENCES datasets (id),
  protocol_hash TEXT NOT NULL,
  problems INTEGER NOT NULL,
  PRIMARY KEY (run_id, stage, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE samples (
  id INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  stage INTEGER NOT NULL,
  benchmark TEXT NOT NULL,
  seed INTEGER NOT NULL,
  problem_id TEXT NOT NULL,
  prompt TEXT NOT NULL,
  completion TEXT NOT NULL,
  gold TEXT NOT NULL,
  extracted TEXT,
  verdict TEXT NOT NULL CHECK (verdict IN ('correct', 'incorrect', 'unparsed', 'truncated')),
  completion_tokens INTEGER NOT NULL,
  finish_reason TEXT NOT NULL,
  UNIQUE (run_id, benchmark, seed, problem_id)
) STRICT;

CREATE TABLE artifacts (
  id INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  stage INTEGER NOT NULL,
  kind TEXT NOT NULL,
  path TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  UNIQUE (run_id, path)
) STRICT;

CREATE TABLE events (
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  seq INTEGER NOT NULL,
  at INTEGER NOT NULL,
  type TEXT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;
`;

/** Training data are datasets too. A constraint changes by way of a new table; what refers to the old one by name refers to the new one then. */
const version2 = `
CREATE TABLE datasets_with_training (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('benchmark', 'calibration', 'training')),
  name TEXT NOT NULL,
  path TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  row_count INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL,
  added_at INTEGER NOT NULL,
  UNIQUE (kind, path, sha256)
) STRICT;
INSERT INTO datasets_with_training SELECT id, kind, name, path, sha256, row_count, size_bytes, added_at FROM datasets;
DROP TABLE datasets;
ALTER TABLE datasets_with_training RENAME TO datasets;
`;

/** Which files a study used, as they were then: two runs made the same weights only when they read the same. */
const version3 = `
CREATE TABLE study_datasets (
  study_id INTEGER NOT NULL REFERENCES studies (id) ON DELETE CASCADE,
  dataset_id INTEGER NOT NULL REFERENCES datasets (id),
  PRIMARY KEY (study_id, dataset_id)
) STRICT, WITHOUT ROWID;
`;

/**
 * What tables of results need of a sample, apart from its long texts: whether thinking ended is noted when the row is written,
 * and the index holds all of it, so that no page of text is read.
 */
const version4 = `
ALTER TABLE samples ADD COLUMN thinking_ended INTEGER NOT NULL DEFAULT 0 CHECK (thinking_ended IN (0, 1));
UPDATE samples SET thinking_ended = 1 WHERE instr(completion, '</think>') > 0;
CREATE INDEX samples_by_outcome ON samples (run_id, benchmark, problem_id, seed, verdict, completion_tokens, finish_reason, thinking_ended, stage, extracted);
`;

/** How each benchmark of a run is scored, and what is measured of texts: windows rather than samples. */
const version5 = `
ALTER TABLE evaluations ADD COLUMN kind TEXT NOT NULL DEFAULT 'maths' CHECK (kind IN ('maths', 'choice', 'code', 'likelihood', 'text'));
CREATE TABLE windows (
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  benchmark TEXT NOT NULL,
  window INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  nats REAL NOT NULL,
  PRIMARY KEY (run_id, benchmark, window)
) STRICT, WITHOUT ROWID;
`;

/** Why a verdict is what it is: which test a program failed, that a comparison ran out of time. Earlier versions did not keep it. */
const version6 = `
ALTER TABLE samples ADD COLUMN detail TEXT;
`;

export const migrations: readonly string[] = [version1, version2, version3, version4, version5, version6];
export const schemaVersion = migrations.length;

/** The tables that a project file of any version has. */
const firstTables = [
  'meta',
  'models',
  'datasets',
  'recipes',
  'studies',
  'runs',
  'stages',
  'metrics',
  'evaluations',
  'samples',
  'artifacts',
  'events',
] as const;

/** The tables of a project file of this version. */
export function tablesOf(version: number): string[] {
  return [...firstTables, ...(version < 3 ? [] : ['study_datasets']), ...(version < 5 ? [] : ['windows'])];
}
