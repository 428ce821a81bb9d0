/** Brings a project file to the current version, all steps in one transaction: it is either upgraded whole or left as it was. */
import type { Connection } from './connection.ts';
import { migrations } from './schema.ts';

/** Applies what is missing. `steps` are the migrations known to this version of the app. */
export function migrate(db: Connection, steps: readonly string[] = migrations): void {
  const upgrade = db.transaction(() => {
    const from = db.pragma('user_version', { simple: true }) as number;
    if (from >= steps.length) return;
    for (const sql of steps.slice(from)) db.exec(sql);
    db.pragma(`user_version = ${steps.length}`);
  });
  upgrade.immediate();
}
