/** Brings a project file to the current version, all steps in one transaction: it is either upgraded whole or left as it was. */
import { RoundoffError } from '#contract/errors.ts';
import type { Connection } from './connection.ts';
import { migrations } from './schema.ts';

/** Applies what is missing. `steps` are the migrations known to this version of the app. */
export function migrate(db: Connection, steps: readonly string[] = migrations): void {
  const upgrade = db.transaction(() => {
    const from = db.pragma('user_version', { simple: true }) as number;
    if (from >= steps.length) return;
    for (const sql of steps.slice(from)) db.exec(sql);
    requireReferences(db);
    db.pragma(`user_version = ${steps.length}`);
  });
  // A table that is made anew takes its references with it: they are checked at the end, not while it is gone.
  const enforced = db.pragma('foreign_keys', { simple: true }) as number;
  db.pragma('foreign_keys = OFF');
  try {
    upgrade.immediate();
  } finally {
    db.pragma(`foreign_keys = ${enforced}`);
  }
}

function requireReferences(db: Connection): void {
  const broken = db.pragma('foreign_key_check') as { table: string; parent: string }[];
  const [first] = broken;
  if (first)
    throw new RoundoffError(
      'project-corrupt',
      `${db.name}: ${broken.length} rows refer to others that are missing, as in ${first.table} to ${first.parent}.`,
      'Open a copy of the project from before, or start a new one. The file was left as it was.',
    );
}
