/** Lists folders for choosing files and models; the browser host has no file dialog of the system. */
import { type Dirent, existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import type { FileListing } from '#contract/records.ts';
import { fileError } from '../engine/data/json-file.ts';
import { projectExtension } from '../project/project.ts';

type Entry = FileListing['entries'][number];

/** Folders first, then files, by name; hidden ones are left out. Throws `not-found`, `read-only` and `bad-input`. */
export async function listFiles(dir: string): Promise<FileListing> {
  if (!path.isAbsolute(dir))
    throw new RoundoffError('bad-input', `"${dir}" is not an absolute path.`, 'Give the whole path of the folder.');
  const target = path.resolve(dir);
  const entries = await Promise.all(
    (await readFolder(target)).filter(({ name }) => !name.startsWith('.')).map((item) => describe(target, item)),
  );
  const parent = path.dirname(target);
  return {
    path: target,
    parent: parent === target ? null : parent,
    entries: entries.filter((entry) => entry !== null).sort(byKindThenName),
  };
}

async function readFolder(dir: string): Promise<Dirent[]> {
  try {
    return await readdir(dir, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR')
      throw new RoundoffError('bad-input', `${dir} is a file.`, 'Choose the folder it is in.', { cause: error });
    throw fileError(dir, error);
  }
}

/** Null for what is neither folder nor file, and for links that lead nowhere. */
async function describe(dir: string, item: Dirent): Promise<Entry | null> {
  const full = path.join(dir, item.name);
  const facts = await stat(full).catch(() => null);
  if (!facts || !(facts.isDirectory() || facts.isFile())) return null;
  const kind = facts.isDirectory() ? 'folder' : 'file';
  return {
    name: item.name,
    path: full,
    kind,
    sizeBytes: kind === 'file' ? facts.size : 0,
    isModel: kind === 'folder' && isModelFolder(full),
    isProject: kind === 'file' && item.name.endsWith(projectExtension),
  };
}

function isModelFolder(dir: string): boolean {
  const has = (name: string) => existsSync(path.join(dir, name));
  return has('config.json') && (has('model.safetensors') || has('model.safetensors.index.json'));
}

function byKindThenName(a: Entry, b: Entry): number {
  if (a.kind !== b.kind) return a.kind === 'folder' ? -1 : 1;
  return a.name.localeCompare(b.name, 'en', { numeric: true });
}
