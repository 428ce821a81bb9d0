/** A file as one text, as perplexity reads it. */
import { basename } from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import { streamDocuments } from './documents.ts';

/** A .txt file as it is; the texts of JSON Lines or Parquet rows with an empty line between them, as WikiText is joined by convention. */
export async function readText(path: string, signal?: AbortSignal): Promise<string> {
  const parts: string[] = [];
  const options = { textLength: Number.POSITIVE_INFINITY, ...(signal ? { signal } : {}) };
  for await (const { text, place } of streamDocuments(path, options)) {
    if (text === null)
      throw new RoundoffError(
        'dataset-invalid',
        `${basename(path)}, ${place}: the row is a conversation, not text.`,
        'Perplexity needs rows with "text", or a plain text file.',
      );
    parts.push(text);
  }
  return parts.join('\n\n');
}
