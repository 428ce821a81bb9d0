/** A folder for the tests of one file, removed after them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';

export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(path.join(tmpdir(), `roundoff-${name}-`));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
