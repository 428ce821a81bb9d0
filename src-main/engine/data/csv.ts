/**
 * Reading CSV files with a header row (csv-parse), quoted fields with line breaks included. Values are text; an empty field is null.
 * A row with another number of fields than the header is refused with its line.
 */
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { CsvError, parse } from 'csv-parse';
import { RoundoffError } from '#contract/errors.ts';
import { throwIfCancelled } from './cancellation.ts';
import { fileError, refusePipes } from './json-file.ts';

export interface CsvRow {
  /** 1-based line on which the row ends. */
  line: number;
  value: Record<string, string | null>;
}

/** No honest field is longer; a file with an unclosed quote must not be read into memory whole. */
const maxRowBytes = 64 * 1024 * 1024;

/** The rows of a file one by one. Throws `not-found`, `read-only` and `dataset-invalid`. */
export async function* streamCsv(path: string, options: { signal?: AbortSignal } = {}): AsyncGenerator<CsvRow> {
  try {
    await refusePipes(path);
    const source = createReadStream(path);
    const parser = parse({ bom: true, columns: true, info: true, skip_empty_lines: true, max_record_size: maxRowBytes });
    source.on('error', (error) => parser.destroy(error));
    for await (const { record, info } of source.pipe(parser) as AsyncIterable<CsvRecord>) {
      throwIfCancelled(options.signal, `Reading ${path}`);
      yield {
        line: info.lines,
        value: Object.fromEntries(Object.entries(record).map(([name, text]) => [name, text === '' ? null : text])),
      };
    }
  } catch (error) {
    throw error instanceof CsvError ? damaged(path, error) : fileError(path, error);
  }
}

interface CsvRecord {
  record: Record<string, string>;
  info: { lines: number };
}

function damaged(path: string, error: CsvError): RoundoffError {
  const line = typeof error.lines === 'number' ? `, line ${error.lines}` : '';
  return new RoundoffError(
    'dataset-invalid',
    `${basename(path)}${line}: not sound CSV (${error.message}).`,
    'The first line names the columns; every row needs as many fields, and a field with a comma, quote or line break stands in quotes.',
    { cause: error },
  );
}
