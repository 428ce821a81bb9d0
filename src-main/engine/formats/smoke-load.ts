/**
 * Proof that an export holds the model: the written files, read back by the reader of their format, must give the logits of the model they
 * were made from, up to what the format itself rounds. One of the two models is in memory at a time.
 */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import type { SmokeLoad } from '#contract/worker.ts';
import { throwIfCancelled } from '../data/cancellation.ts';
import { RandomStream } from '../data/random-stream.ts';
import type { LanguageModel } from '../model/language-model.ts';

/** Token rows compared, and tokens in each: enough that every weight takes part. */
const rows = 2;
const rowTokens = 16;

export interface SmokeLoadOptions {
  /** What the export was made from. */
  original: () => Promise<LanguageModel>;
  /** The export, read back. */
  reloaded: () => Promise<LanguageModel>;
  /** Allowed difference as a share of one plus the largest logit. */
  allowedShare: number;
  /** For messages. */
  format: string;
  signal?: AbortSignal | undefined;
}

/** Compares all logits on fixed random tokens. Throws `numeric` when they differ by more than allowed. */
export async function smokeLoad(options: SmokeLoadOptions): Promise<SmokeLoad> {
  const expected = await computeLogits(options.original, options);
  const actual = await computeLogits(options.reloaded, options);
  const { largest, largestDifference } = compare(expected.logits, actual.logits);
  const allowedDifference = options.allowedShare * (1 + largest);
  if (!(largestDifference <= allowedDifference))
    throw new RoundoffError(
      'numeric',
      `The ${options.format} export, read back, differs from the model it was made from: its logits are off by ${largestDifference.toPrecision(3)}, at most ${allowedDifference.toPrecision(3)} are allowed.`,
      'The export was removed. Check the disk, then export again; if it happens again, report it with the scheme used.',
    );
  return { tokens: expected.tokens, largestDifference, allowedDifference };
}

function compare(expected: Float32Array, actual: Float32Array): { largest: number; largestDifference: number } {
  let largest = 0;
  let largestDifference = expected.length === actual.length ? 0 : Number.POSITIVE_INFINITY;
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]!));
    const difference = Math.abs(expected[i]! - actual[i]!);
    if (!(difference <= largestDifference)) largestDifference = difference;
  }
  return { largest, largestDifference };
}

async function computeLogits(
  load: () => Promise<LanguageModel>,
  { signal }: SmokeLoadOptions,
): Promise<{ logits: Float32Array; tokens: number }> {
  throwIfCancelled(signal, 'The export');
  const model = await load();
  try {
    const { vocabSize, contextLength } = model.config;
    const length = Math.min(rowTokens, contextLength);
    const stream = new RandomStream(0, 'smoke-load');
    const ids = Int32Array.from({ length: rows * length }, () => stream.integer(0, vocabSize - 1));
    const logits = tf.tidy(() => model.logits(model.forward(tf.tensor2d(ids, [rows, length], 'int32'))));
    const values = (await logits.data<'float32'>()).slice();
    logits.dispose();
    return { logits: values, tokens: ids.length };
  } finally {
    model.dispose();
  }
}
