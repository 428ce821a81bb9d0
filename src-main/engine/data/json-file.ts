/**
 * Reading small JSON files (configurations, indices, tokenizers) with errors that name the file, the place and the remedy.
 */
import { readFile, stat } from 'node:fs/promises';
import { type ErrorCode, RoundoffError } from '#contract/errors.ts';

export type JsonObject = Record<string, unknown>;

export interface JsonFileOptions {
  /** Code of the error for a file that is not valid. */
  code?: ErrorCode;
  /** What to do about a broken file. */
  hint?: string;
}

/** Reads a JSON object. Throws `not-found` without the file, `read-only` without the permission, and `code` when it is no JSON object. */
export async function readJsonObject(path: string, options: JsonFileOptions = {}): Promise<JsonObject> {
  const { code = 'bad-input', hint = 'Restore the file from its source.' } = options;
  let value: unknown;
  try {
    await refusePipes(path);
    value = JSON.parse(stripByteOrderMark(await readFile(path, 'utf8')));
  } catch (error) {
    if (error instanceof SyntaxError) throw new RoundoffError(code, `${path} is not valid JSON: ${error.message}`, hint, { cause: error });
    throw fileError(path, error);
  }
  if (!isJsonObject(value)) throw new RoundoffError(code, `${path} holds ${describe(value)} where a JSON object is expected.`, hint);
  return value;
}

/** Like `readJsonObject`, but null when there is no such file. */
export async function readOptionalJsonObject(path: string, options: JsonFileOptions = {}): Promise<JsonObject | null> {
  try {
    return await readJsonObject(path, options);
  } catch (error) {
    if (error instanceof RoundoffError && error.code === 'not-found') return null;
    throw error;
  }
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Refuses pipes, sockets and devices, on which a read may wait for ever. Throws `bad-input`; passes file system errors through. */
export async function refusePipes(path: string): Promise<void> {
  const kind = await stat(path);
  if (kind.isFile() || kind.isDirectory()) return;
  throw new RoundoffError('bad-input', `${path} is a pipe or device, not a file.`, 'Choose a file.');
}

/** Turns a file system error into one that names the file and the remedy; anything else passes through. */
export function fileError(path: string, error: unknown): unknown {
  const errno = (error as { code?: unknown } | null)?.code;
  if (errno === 'ENOENT' || errno === 'ENOTDIR')
    return new RoundoffError('not-found', `${path} does not exist.`, 'Check the path; the file may have been moved or not downloaded.', {
      cause: error,
    });
  if (errno === 'EACCES' || errno === 'EPERM')
    return new RoundoffError('read-only', `${path} may not be read: permission denied.`, 'Give your user permission to read it.', {
      cause: error,
    });
  if (errno === 'EISDIR')
    return new RoundoffError('bad-input', `${path} is a folder where a file is expected.`, 'Move the folder away and restore the file.', {
      cause: error,
    });
  return error;
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}

function stripByteOrderMark(text: string): string {
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}
