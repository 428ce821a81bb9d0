/** Table `meta`: facts about the file itself. */
import { type Connection, firstRow, statement } from '../connection.ts';

export type MetaKey = 'createdAt';

export function readMeta(db: Connection, key: MetaKey): string | null {
  return firstRow<{ value: string }>(db, 'SELECT value FROM meta WHERE key = ?', key)?.value ?? null;
}

export function writeMeta(db: Connection, key: MetaKey, value: string): void {
  statement(db, 'INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value').run(key, value);
}
