/**
 * Calibration text as token samples of one length: documents are taken in a seeded order, long ones are cut, the rest is joined.
 * Sources: JSON Lines with `text`, or with `prompt` and `completion` (rendered with the model's chat template), or plain text.
 */
import { RoundoffError, toErrorInfo } from '#contract/errors.ts';
import type { CalibrationSettings } from '#contract/recipe.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { throwIfCancelled } from './cancellation.ts';
import { type JsonlRow, streamJsonl, streamLines } from './jsonl.ts';
import { RandomStream } from './random-stream.ts';

export type CalibrationTokenizer = Pick<ModelTokenizer, 'encode' | 'encodeChat' | 'chatTemplate'>;

export interface CalibrationOptions {
  /** Seed of the run; with the recipe's own seed it decides the order of the documents. */
  runSeed?: number;
  signal?: AbortSignal;
}

/** A document and the line it begins on, for errors. */
interface Document {
  line: number;
  text: string;
  /** The model's answer, when `text` is the prompt of a conversation. */
  completion: string | null;
}

/** Characters per document a .txt file is divided into, per token of a sample: about one sample of ordinary text each. */
const charactersPerToken = 4;

/**
 * `samples` token sequences of exactly `sequenceLength` ids, the same for the same file, settings and seeds.
 * Throws `calibration-too-short`, saying how many tokens there are and are needed, `dataset-invalid` with the line, or `not-found`.
 */
export async function loadCalibration(
  settings: CalibrationSettings,
  tokenizer: CalibrationTokenizer,
  options: CalibrationOptions = {},
): Promise<Int32Array[]> {
  const { path, samples: count, sequenceLength, seed } = settings;
  const documents = await readDocuments(path, sequenceLength, options);
  const order = new RandomStream(options.runSeed ?? 0, 'calibration', String(seed)).shuffle(documents);
  const samples: Int32Array[] = [];
  let rest: number[] = [];
  let tokens = 0;
  for (const document of order) {
    throwIfCancelled(options.signal, 'Reading calibration text');
    const ids = encodeDocument(path, document, tokenizer);
    tokens += ids.length;
    let start = 0;
    for (; start + sequenceLength <= ids.length; start += sequenceLength)
      samples.push(Int32Array.from(ids.slice(start, start + sequenceLength)));
    rest = rest.concat(ids.slice(start));
    if (rest.length >= sequenceLength) {
      samples.push(Int32Array.from(rest.slice(0, sequenceLength)));
      rest = rest.slice(sequenceLength);
    }
    if (samples.length >= count) return samples.slice(0, count);
  }
  const enough = Math.floor(tokens / sequenceLength);
  throw new RoundoffError(
    'calibration-too-short',
    `${path} holds ${tokens} tokens in ${documents.length} ${documents.length === 1 ? 'document' : 'documents'}; ${count} samples of ${sequenceLength} tokens need ${count * sequenceLength}.`,
    enough > 0 ? `Add text, or ask for at most ${enough} samples of this length.` : 'Add text, or ask for shorter samples.',
  );
}

async function readDocuments(path: string, sequenceLength: number, options: CalibrationOptions): Promise<Document[]> {
  if (/\.jsonl$/i.test(path)) return readRows(path, options);
  if (/\.txt$/i.test(path)) return readText(path, sequenceLength * charactersPerToken, options);
  throw new RoundoffError(
    'bad-input',
    `${path} is neither a .jsonl nor a .txt file.`,
    'Give JSON Lines with "text" (or "prompt" and "completion") in each row, or a plain text file.',
  );
}

async function readRows(path: string, options: CalibrationOptions): Promise<Document[]> {
  const documents: Document[] = [];
  for await (const row of streamJsonl(path, options)) documents.push(toDocument(path, row));
  return documents;
}

function toDocument(path: string, { line, value }: JsonlRow): Document {
  if (typeof value.text === 'string') return { line, text: value.text, completion: null };
  if (typeof value.prompt === 'string' && typeof value.completion === 'string') {
    return { line, text: value.prompt, completion: value.completion };
  }
  const keys = Object.keys(value).slice(0, 8).join(', ');
  throw new RoundoffError(
    'dataset-invalid',
    `${path}, line ${line}: the row has neither "text" nor "prompt" and "completion" as strings (it has: ${keys || 'nothing'}).`,
    'Rename the fields, or choose another calibration file.',
  );
}

/** Divides a text file at line ends into documents of about `size` characters. */
async function readText(path: string, size: number, options: CalibrationOptions): Promise<Document[]> {
  const documents: Document[] = [];
  let lines: string[] = [];
  let length = 0;
  let first = 1;
  const close = () => {
    const text = lines.join('');
    if (text.trim() !== '') documents.push({ line: first, text, completion: null });
    lines = [];
    length = 0;
  };
  for await (const { line, text } of streamLines(path, options)) {
    if (lines.length === 0) first = line;
    lines.push(`${text}\n`);
    length += text.length + 1;
    if (length >= size) close();
  }
  close();
  return documents;
}

function encodeDocument(path: string, document: Document, tokenizer: CalibrationTokenizer): number[] {
  try {
    if (document.completion === null) return tokenizer.encode(document.text, { addSpecialTokens: false });
    return encodeConversation(document.text, document.completion, tokenizer);
  } catch (error) {
    const { code, message, hint } = toErrorInfo(error);
    throw new RoundoffError(code, `${path}, line ${document.line}: ${message}`, hint, { cause: error });
  }
}

/**
 * A prompt and its answer as the model meets them. Some templates rewrite earlier answers (dropping the reasoning); then the answer
 * follows the opened turn as it is.
 */
function encodeConversation(prompt: string, completion: string, tokenizer: CalibrationTokenizer): number[] {
  if (!tokenizer.chatTemplate) return tokenizer.encode(prompt + completion, { addSpecialTokens: false });
  const question = { role: 'user', content: prompt } as const;
  const messages = [question, { role: 'assistant', content: completion } as const];
  if (tokenizer.chatTemplate.render(messages, { addGenerationPrompt: false }).includes(completion)) {
    return tokenizer.encodeChat(messages, { addGenerationPrompt: false });
  }
  return [...tokenizer.encodeChat([question]), ...tokenizer.encode(completion, { addSpecialTokens: false })];
}
