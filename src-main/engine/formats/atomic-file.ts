/**
 * Files and folders that appear whole or not at all: written under a temporary name beside the target, flushed to disk, renamed.
 * A failure at any point (disk full, cancel, crash of the producer) leaves the target as it was and removes what was begun.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { RoundoffError } from '#contract/errors.ts';

export interface WrittenFile {
  path: string;
  sizeBytes: number;
  sha256: string;
}

/** Appends bytes to the file being written. */
export type ByteSink = (bytes: Uint8Array) => Promise<void>;

/** Writes `path` through `produce`. Throws `disk-full` or `read-only`, naming the file, when the disk refuses. */
export async function writeFileAtomically(path: string, produce: (write: ByteSink) => Promise<void>): Promise<WrittenFile> {
  const temporary = temporaryName(path);
  try {
    const handle = await open(temporary, 'wx');
    const written = await produceInto(handle, produce);
    await rename(temporary, path);
    await syncFolder(dirname(path));
    return { path, ...written };
  } catch (error) {
    await rm(temporary, { force: true });
    throw writeError(path, error);
  }
}

async function produceInto(
  handle: FileHandle,
  produce: (write: ByteSink) => Promise<void>,
): Promise<{ sizeBytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  try {
    await produce(async (bytes) => {
      hash.update(bytes);
      for (let done = 0; done < bytes.length; ) done += (await handle.write(bytes, done, bytes.length - done)).bytesWritten;
      sizeBytes += bytes.length;
    });
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { sizeBytes, sha256: hash.digest('hex') };
}

/** Copies a file into the folder `dir` under its own name, in pieces. */
export function copyFileTo(dir: string, source: string): Promise<WrittenFile> {
  return writeFileAtomically(join(dir, basename(source)), async (write) => {
    for await (const piece of createReadStream(source, { highWaterMark: 1 << 22 })) await write(piece as Uint8Array);
  });
}

/** Text or bytes that are already in memory. */
export function writeWholeFile(path: string, content: string | Uint8Array): Promise<WrittenFile> {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  return writeFileAtomically(path, (write) => write(bytes));
}

/**
 * Fills a temporary folder through `produce` and renames it to `dir`. An existing folder must be empty unless `replace` is given;
 * then the old one is removed only after the new one is complete.
 */
export async function writeFolderAtomically<T>(
  dir: string,
  produce: (temporaryDir: string) => Promise<T>,
  options: { replace?: boolean } = {},
): Promise<T> {
  const existing = await readTarget(dir);
  if (!options.replace) refuseContents(dir, existing);
  const temporary = temporaryName(dir);
  try {
    await mkdir(temporary, { recursive: true });
    const result = await produce(temporary);
    if (existing) await putAside(dir, existing.length === 0);
    await rename(temporary, dir);
    await syncFolder(dirname(dir));
    return result;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw namingFinalPath(writeError(dir, error), temporary, dir);
  }
}

/** Throws `bad-input` unless a folder could be written to `dir`; asked before work of which it shall hold the result. */
export async function checkFolderIsFree(dir: string): Promise<void> {
  refuseContents(dir, await readTarget(dir));
}

/** What is in `dir`, or null when there is nothing of this name. */
async function readTarget(dir: string): Promise<string[] | null> {
  try {
    return await readdir(dir);
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code;
    if (errno === 'ENOENT') return null;
    if (errno === 'ENOTDIR')
      throw new RoundoffError('bad-input', `${dir} is a file, or lies in one.`, 'Choose a new folder.', { cause: error });
    throw writeError(dir, error);
  }
}

function refuseContents(dir: string, existing: readonly string[] | null): void {
  if (existing && existing.length > 0)
    throw new RoundoffError('bad-input', `${dir} already exists and is not empty.`, 'Choose a new folder, or empty this one first.');
}

/** Errors from inside the folder speak of the temporary path; users know the final one. */
function namingFinalPath(error: unknown, temporary: string, dir: string): unknown {
  if (!(error instanceof RoundoffError)) return error;
  const { code, hint, problems, cause } = error;
  return new RoundoffError(code, error.message.replaceAll(temporary, dir), hint, { problems, cause });
}

async function putAside(dir: string, isEmpty: boolean): Promise<void> {
  if (isEmpty) return rmdir(dir);
  const aside = temporaryName(dir);
  await rename(dir, aside);
  await rm(aside, { recursive: true, force: true });
}

/** sha256 (hex) and size of a file, streamed. */
export async function hashFile(path: string, options: { signal?: AbortSignal } = {}): Promise<{ sha256: string; sizeBytes: number }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, signal: options.signal })) {
    hash.update(chunk as Uint8Array);
    sizeBytes += (chunk as Uint8Array).length;
  }
  return { sha256: hash.digest('hex'), sizeBytes };
}

function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.partial`);
}

/** Makes the rename durable. Windows cannot open folders; there the rename is journalled by the file system. */
async function syncFolder(dir: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Turns what the file system said while `path` was written into an error that names the file and the remedy; others pass through. */
export function writeError(path: string, error: unknown): unknown {
  const errno = (error as { code?: unknown } | null)?.code;
  if (errno === 'ENOSPC' || errno === 'EDQUOT')
    return new RoundoffError(
      'disk-full',
      `The disk filled up while ${path} was written; nothing was left behind.`,
      'Free some disk space, then try again.',
      { cause: error },
    );
  if (errno === 'EACCES' || errno === 'EROFS' || errno === 'EPERM')
    return new RoundoffError(
      'read-only',
      `${path} cannot be written: no permission in this folder.`,
      'Choose a folder you can write to, or change its permissions.',
      { cause: error },
    );
  if (errno === 'ENOENT')
    return new RoundoffError(
      'not-found',
      `${path} cannot be written: its folder does not exist.`,
      'Create the folder first, or choose another one.',
      { cause: error },
    );
  return error;
}
