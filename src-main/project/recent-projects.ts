/** The list of recently opened projects, in the app's own folder. A damaged list is started anew: it holds nothing but shortcuts. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import type { RecentProject } from '#contract/records.ts';

const listSchema = z.array(z.object({ path: z.string(), name: z.string(), openedAt: z.number() }));
const maxEntries = 20;

/** Where the app keeps its settings: `ROUNDOFF_HOME`, or the platform's place for them. */
export function appDataDir(env: NodeJS.ProcessEnv = process.env): string {
  if (env.ROUNDOFF_HOME) return path.resolve(env.ROUNDOFF_HOME);
  if (process.platform === 'win32') return path.join(env.APPDATA ?? path.join(os.homedir(), 'AppData', 'Roaming'), 'Roundoff');
  if (process.platform === 'darwin') return path.join(os.homedir(), 'Library', 'Application Support', 'Roundoff');
  return path.join(env.XDG_CONFIG_HOME ?? path.join(os.homedir(), '.config'), 'roundoff');
}

/** Newest first; files that are gone stay listed and are marked. */
export function listRecent(dir: string): RecentProject[] {
  return read(dir).map((entry) => ({ ...entry, exists: existsSync(entry.path) }));
}

export function rememberProject(dir: string, project: { path: string; name: string }): void {
  const others = read(dir).filter((entry) => entry.path !== project.path);
  write(dir, [{ path: project.path, name: project.name, openedAt: Date.now() }, ...others].slice(0, maxEntries));
}

export function forgetProject(dir: string, projectPath: string): void {
  write(
    dir,
    read(dir).filter((entry) => entry.path !== projectPath),
  );
}

function read(dir: string): z.infer<typeof listSchema> {
  try {
    return listSchema.parse(JSON.parse(readFileSync(listFile(dir), 'utf8')));
  } catch {
    return [];
  }
}

function write(dir: string, entries: z.infer<typeof listSchema>): void {
  mkdirSync(dir, { recursive: true });
  const temporary = `${listFile(dir)}.${process.pid}.partial`;
  writeFileSync(temporary, `${JSON.stringify(entries, null, 2)}\n`);
  renameSync(temporary, listFile(dir));
}

function listFile(dir: string): string {
  return path.join(dir, 'recent-projects.json');
}
