/**
 * Reading Parquet files, row group by row group, so that their size does not matter. Rows come as plain objects of the columns asked for.
 */
import { basename } from 'node:path';
import { asyncBufferFromFile, type FileMetaData, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { RoundoffError } from '#contract/errors.ts';
import { throwIfCancelled } from './cancellation.ts';
import { fileError, refusePipes } from './json-file.ts';

export interface ParquetRow {
  /** 1-based row in the file. */
  row: number;
  value: Record<string, unknown>;
}

/** The rows of a file, with those of `columns` that it has (all when left out). Throws `not-found`, `read-only` and `dataset-invalid`. */
export async function* streamParquet(
  path: string,
  options: { columns?: readonly string[]; signal?: AbortSignal } = {},
): AsyncGenerator<ParquetRow> {
  const { file, metadata } = await openParquet(path);
  const present = topLevelColumns(metadata);
  const columns = options.columns ? options.columns.filter((name) => present.includes(name)) : present;
  let rowStart = 0;
  for (const [group, { num_rows: count }] of metadata.row_groups.entries()) {
    throwIfCancelled(options.signal, `Reading ${path}`);
    const rowEnd = rowStart + Number(count);
    const rows = await parquetReadObjects({ file, metadata, columns, rowStart, rowEnd, compressors }).catch((error: unknown) => {
      throw damaged(path, `row group ${group + 1} cannot be read (${messageOf(error)})`);
    });
    for (const [index, value] of rows.entries()) yield { row: rowStart + index + 1, value };
    rowStart = rowEnd;
  }
}

/** Names of the columns of a file. */
export async function parquetColumns(path: string): Promise<string[]> {
  return topLevelColumns((await openParquet(path)).metadata);
}

async function openParquet(path: string) {
  try {
    await refusePipes(path);
    const file = await asyncBufferFromFile(path);
    const metadata = await parquetMetadataAsync(file).catch((error: unknown) => {
      throw damaged(path, `its footer cannot be read (${messageOf(error)})`);
    });
    return { file, metadata };
  } catch (error) {
    throw error instanceof RoundoffError ? error : fileError(path, error);
  }
}

/** The schema is a flattened tree: the root's children come first among their subtrees. */
function topLevelColumns({ schema }: FileMetaData): string[] {
  const names: string[] = [];
  let index = 1;
  const skip = (): void => {
    const { num_children: children = 0 } = schema[index++]!;
    for (let child = 0; child < children; child++) skip();
  };
  while (index < schema.length) {
    names.push(schema[index]!.name);
    skip();
  }
  return names;
}

function damaged(path: string, reason: string): RoundoffError {
  return new RoundoffError('dataset-invalid', `${basename(path)} is not a sound Parquet file: ${reason}.`, 'Download the file again.');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
