/**
 * Calibration text as token samples of one length: documents are taken in a seeded order, long ones are cut, the rest is joined. The
 * model's own solutions are joined and cropped at random places instead, as Reasoning-QAT's protocol does.
 */
import { basename, extname } from 'node:path';
import { RoundoffError, toErrorInfo } from '#contract/errors.ts';
import type { CalibrationSettings } from '#contract/recipe.ts';
import type { CalibrationRecord } from '#contract/worker.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { throwIfCancelled } from './cancellation.ts';
import { type Document, streamDocuments } from './documents.ts';
import { RandomStream } from './random-stream.ts';

export type CalibrationTokenizer = Pick<ModelTokenizer, 'encode' | 'encodeChat' | 'chatTemplate'>;

export interface CalibrationOptions {
  /** Seed of the run; with the recipe's own seed it decides the order of the documents. */
  runSeed?: number;
  signal?: AbortSignal;
}

/** Characters per document a .txt file is divided into, per token of a sample: about one sample of ordinary text each. */
const charactersPerToken = 4;

/** What is recorded of the calibration with a result. */
export function calibrationRecord(settings: CalibrationSettings): CalibrationRecord {
  const { path, samples, sequenceLength, seed, solutions } = settings;
  const domain = settings.domain ?? basename(path, extname(path));
  return { path, domain, source: solutions ? 'solutions' : 'text', samples, sequenceLength, seed };
}

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
  const documents: Document[] = [];
  const reading = { textLength: sequenceLength * charactersPerToken, ...(options.signal ? { signal: options.signal } : {}) };
  for await (const document of streamDocuments(path, reading)) documents.push(document);
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

/**
 * `samples` crops of `sequenceLength` ids at seeded places of `ids`, which are all solutions one after the other. Throws
 * `calibration-too-short` when there are not enough ids for one.
 */
export function cropSamples(ids: readonly number[], settings: CalibrationSettings, runSeed: number): Int32Array[] {
  const { samples: count, sequenceLength, seed, path } = settings;
  const places = ids.length - sequenceLength + 1;
  if (places < 1) {
    throw new RoundoffError(
      'calibration-too-short',
      `The model's solutions to ${path} hold ${ids.length} tokens, fewer than one sample of ${sequenceLength}.`,
      'Sample more problems, allow longer solutions, or ask for shorter samples.',
    );
  }
  const stream = new RandomStream(runSeed, 'calibration-crops', String(seed));
  return Array.from({ length: count }, () => {
    const start = Math.min(places - 1, Math.floor(stream.uniform() * places));
    return Int32Array.from(ids.slice(start, start + sequenceLength));
  });
}

function encodeDocument(path: string, { place, text, messages }: Document, tokenizer: CalibrationTokenizer): number[] {
  try {
    return messages ? encodeConversation(messages, tokenizer) : tokenizer.encode(text ?? '', { addSpecialTokens: false });
  } catch (error) {
    const { code, message, hint } = toErrorInfo(error);
    throw new RoundoffError(code, `${path}, ${place}: ${message}`, hint, { cause: error });
  }
}

/**
 * A conversation as the model meets it. Some templates rewrite earlier answers (dropping the reasoning); then the last answer follows
 * the opened turn as it is.
 */
function encodeConversation(messages: NonNullable<Document['messages']>, tokenizer: CalibrationTokenizer): number[] {
  const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  if (!tokenizer.chatTemplate) return encode(messages.map(({ content }) => content).join(''));
  const last = messages.at(-1)!;
  const isKept = tokenizer.chatTemplate.render(messages, { addGenerationPrompt: false }).includes(last.content);
  if (isKept || last.role !== 'assistant') return tokenizer.encodeChat(messages, { addGenerationPrompt: false });
  return [...tokenizer.encodeChat(messages.slice(0, -1)), ...encode(last.content)];
}
