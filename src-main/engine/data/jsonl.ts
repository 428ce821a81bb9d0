/**
 * Reading JSON Lines: one object per line, UTF-8, with or without byte order mark, LF or CRLF, empty lines ignored.
 * Files are streamed, so their size does not matter; the first bad row stops the reading with its line, place and remedy.
 */
import { createReadStream } from 'node:fs';
import { RoundoffError } from '#contract/errors.ts';
import { refusePipes } from './json-file.ts';

export interface JsonlRow {
  /** 1-based line in the file. */
  line: number;
  value: Record<string, unknown>;
}

/** No honest row is longer; a binary file without line ends must not be read into memory whole. */
const maxLineBytes = 64 * 1024 * 1024;

/** All rows of a file. Throws `not-found`, `read-only` (no permission) and `dataset-invalid`. */
export async function readJsonl(path: string, options: { signal?: AbortSignal } = {}): Promise<JsonlRow[]> {
  const rows: JsonlRow[] = [];
  for await (const row of streamJsonl(path, options)) rows.push(row);
  return rows;
}

/** The rows of a file one by one. */
export async function* streamJsonl(path: string, options: { signal?: AbortSignal } = {}): AsyncGenerator<JsonlRow> {
  for await (const { line, text } of streamLines(path, options)) {
    if (text.trim() !== '') yield { line, value: parseRow(path, line, text) };
  }
}

/** The lines of a UTF-8 text file without their line ends; a byte order mark is dropped. */
export async function* streamLines(path: string, options: { signal?: AbortSignal } = {}): AsyncGenerator<{ line: number; text: string }> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let line = 0;
  for await (const bytes of streamLineBytes(path, options)) {
    line++;
    let text: string;
    try {
      text = decoder.decode(bytes);
    } catch {
      throw new RoundoffError('dataset-invalid', `${path}, line ${line}: not valid UTF-8.`, 'Save the file as UTF-8 text.');
    }
    if (line === 1 && text.startsWith('\uFEFF')) text = text.slice(1);
    yield { line, text };
  }
}

async function* streamLineBytes(path: string, options: { signal?: AbortSignal }): AsyncGenerator<Buffer> {
  let pieces: Buffer[] = [];
  let pendingBytes = 0;
  let line = 1;
  try {
    await refusePipes(path);
    for await (const chunk of createReadStream(path, options) as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
        pieces.push(chunk.subarray(start, end));
        yield withoutCarriageReturn(Buffer.concat(pieces));
        pieces = [];
        pendingBytes = 0;
        start = end + 1;
        line++;
      }
      pieces.push(chunk.subarray(start));
      pendingBytes += chunk.length - start;
      if (pendingBytes > maxLineBytes) throw tooLong(path, line);
    }
  } catch (error) {
    throw readFailure(path, error, options.signal);
  }
  if (pendingBytes > 0) yield withoutCarriageReturn(Buffer.concat(pieces));
}

function withoutCarriageReturn(line: Buffer): Buffer {
  return line.at(-1) === 13 ? line.subarray(0, -1) : line;
}

function parseRow(path: string, line: number, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const reason = (error as Error).message;
    throw new RoundoffError(
      'dataset-invalid',
      `${path}, line ${line}${columnOf(reason, text)}: not valid JSON (${reason}).`,
      'Each line must be one complete JSON object, like {"text": "…"}. Correct this line or remove it.',
    );
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    const kind = value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`;
    throw new RoundoffError(
      'dataset-invalid',
      `${path}, line ${line}, column 1: the row is ${kind}, not an object.`,
      'Each line must be one JSON object, like {"text": "…"}. A file that is one JSON list must be rewritten one row per line.',
    );
  }
  return value as Record<string, unknown>;
}

/** V8 names the offending position, except where the text simply ends. */
function columnOf(reason: string, text: string): string {
  const position = /position (\d+)/.exec(reason)?.[1];
  if (position !== undefined) return `, column ${Number(position) + 1}`;
  return /end of JSON input|Unterminated/i.test(reason) ? `, column ${text.length + 1}` : '';
}

function tooLong(path: string, line: number): RoundoffError {
  return new RoundoffError(
    'dataset-invalid',
    `${path}, line ${line} is longer than ${maxLineBytes / 1024 / 1024} MiB.`,
    'This does not look like JSON Lines or text. Choose a file with one row per line.',
  );
}

function readFailure(path: string, error: unknown, signal: AbortSignal | undefined): unknown {
  if (error instanceof RoundoffError) return error;
  if (signal?.aborted) return new RoundoffError('cancelled', `Reading ${path} was cancelled.`, 'Start again when ready.');
  const errno = (error as { code?: unknown }).code;
  if (errno === 'ENOENT')
    return new RoundoffError('not-found', `${path} does not exist.`, 'Check the path; it may have been moved or deleted.');
  if (errno === 'EISDIR') return new RoundoffError('bad-input', `${path} is a folder.`, 'Choose a file inside it.');
  return error;
}
