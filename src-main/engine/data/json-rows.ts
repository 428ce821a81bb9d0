/** Rows of a data file whatever its kind: JSON Lines, one JSON list, CSV, or Parquet. */
import { readFile } from 'node:fs/promises';
import { RoundoffError } from '#contract/errors.ts';
import { streamCsv } from './csv.ts';
import { fileError, isJsonObject, type JsonObject, refusePipes } from './json-file.ts';
import { streamJsonl } from './jsonl.ts';
import { streamParquet } from './parquet.ts';

export interface DataRow {
  /** `line 3`, `item 3` or `row 3`. */
  place: string;
  value: JsonObject;
}

/** Reads `path` row by row; of Parquet files only `columns`. Throws `dataset-invalid` with the place, `bad-input` for other kinds. */
export async function* readJsonRows(
  path: string,
  options: { columns?: readonly string[]; signal?: AbortSignal } = {},
): AsyncGenerator<DataRow> {
  const signal = options.signal ? { signal: options.signal } : {};
  if (/\.(jsonl|ndjson)$/i.test(path)) {
    for await (const { line, value } of streamJsonl(path, signal)) yield { place: `line ${line}`, value: value as JsonObject };
  } else if (/\.parquet$/i.test(path)) {
    for await (const { row, value } of streamParquet(path, options)) yield { place: `row ${row}`, value: value as JsonObject };
  } else if (/\.csv$/i.test(path)) {
    for await (const { line, value } of streamCsv(path, signal)) yield { place: `line ${line}`, value };
  } else if (/\.json$/i.test(path)) yield* readJsonList(path);
  else {
    throw new RoundoffError(
      'bad-input',
      `${path} is neither a .jsonl, a .json, a .csv nor a .parquet file.`,
      'Give a file with one problem per row.',
    );
  }
}

async function* readJsonList(path: string): AsyncGenerator<DataRow> {
  let list: unknown;
  try {
    await refusePipes(path);
    list = JSON.parse((await readFile(path, 'utf8')).replace(/^\uFEFF/, ''));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw fileError(path, error);
    throw new RoundoffError(
      'dataset-invalid',
      `${path} is not valid JSON: ${error.message}.`,
      'Correct the file, or use JSON Lines (.jsonl).',
    );
  }
  if (!Array.isArray(list))
    throw new RoundoffError('dataset-invalid', `${path} holds no list of rows.`, 'A .json data file is one list of objects.');
  for (const [index, value] of list.entries()) {
    if (!isJsonObject(value))
      throw new RoundoffError('dataset-invalid', `${path}, item ${index + 1}: not an object.`, 'Each item must be an object.');
    yield { place: `item ${index + 1}`, value };
  }
}
