/**
 * Calibration documents from JSON Lines, Parquet or plain text. A row is a `text`, a `prompt` with its `completion`, a `problem` with its
 * `solution`, or a list of chat `messages`: what the published corpora bring.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { ChatMessage } from '../model/chat-template.ts';
import { streamJsonl, streamLines } from './jsonl.ts';
import { streamParquet } from './parquet.ts';

/** One text, or one conversation that the model's chat template renders. */
export interface Document {
  /** `line 3` or `row 3`, for errors. */
  place: string;
  text: string | null;
  messages: ChatMessage[] | null;
}

const roles: readonly unknown[] = ['system', 'user', 'assistant'] satisfies ChatMessage['role'][];
const columns = ['text', 'prompt', 'completion', 'problem', 'solution', 'messages'] as const;

/**
 * The documents of a file, one by one. A .txt file is divided at line ends into pieces of about `textLength` characters. Throws
 * `dataset-invalid` with the place, `bad-input` for other kinds of files, `not-found`.
 */
export async function* streamDocuments(path: string, options: { textLength: number; signal?: AbortSignal }): AsyncGenerator<Document> {
  const { signal } = options;
  if (/\.(jsonl|ndjson)$/i.test(path)) {
    for await (const { line, value } of streamJsonl(path, { signal })) yield toDocument(path, `line ${line}`, value);
  } else if (/\.parquet$/i.test(path)) {
    for await (const { row, value } of streamParquet(path, { columns, signal })) yield toDocument(path, `row ${row}`, value);
  } else if (/\.txt$/i.test(path)) yield* streamText(path, options);
  else {
    throw new RoundoffError(
      'bad-input',
      `${path} is neither a .jsonl, a .parquet nor a .txt file.`,
      'Give JSON Lines or Parquet with "text" (or "prompt" and "completion") in each row, or a plain text file.',
    );
  }
}

function toDocument(path: string, place: string, value: Record<string, unknown>): Document {
  if (typeof value.text === 'string') return { place, text: value.text, messages: null };
  const messages = conversation(value.prompt, value.completion) ?? conversation(value.problem, value.solution) ?? chat(value.messages);
  if (messages) return { place, text: null, messages };
  const keys = Object.keys(value).slice(0, 8).join(', ');
  throw new RoundoffError(
    'dataset-invalid',
    `${path}, ${place}: the row has neither "text" nor "prompt" and "completion", "problem" and "solution" or "messages" (it has: ${keys || 'nothing'}).`,
    'Rename the fields, or choose another calibration file.',
  );
}

function conversation(prompt: unknown, completion: unknown): ChatMessage[] | null {
  if (typeof prompt !== 'string' || typeof completion !== 'string') return null;
  return [
    { role: 'user', content: prompt },
    { role: 'assistant', content: completion },
  ];
}

function chat(value: unknown): ChatMessage[] | null {
  if (!Array.isArray(value) || value.length === 0) return null;
  const isMessage = (item: unknown): item is ChatMessage =>
    item !== null &&
    typeof item === 'object' &&
    roles.includes((item as ChatMessage).role) &&
    typeof (item as ChatMessage).content === 'string';
  return value.every(isMessage) ? value.map(({ role, content }) => ({ role, content })) : null;
}

async function* streamText(path: string, { textLength, signal }: { textLength: number; signal?: AbortSignal }): AsyncGenerator<Document> {
  let lines: string[] = [];
  let length = 0;
  let first = 1;
  const close = (): Document[] => {
    const text = lines.join('');
    lines = [];
    length = 0;
    return text.trim() === '' ? [] : [{ place: `line ${first}`, text, messages: null }];
  };
  for await (const { line, text } of streamLines(path, { signal })) {
    if (lines.length === 0) first = line;
    lines.push(`${text}\n`);
    length += text.length + 1;
    if (length >= textLength) yield* close();
  }
  yield* close();
}
