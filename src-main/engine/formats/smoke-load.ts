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
  /** Rounds the original's weights as the format does, in place; left out where the format keeps them. */
  round?: ((model: LanguageModel) => Promise<void>) | undefined;
  /** The export, read back. */
  reloaded: () => Promise<LanguageModel>;
  /** Allowed difference as a share of one plus the largest logit. */
  allowedShare: number;
  /** For messages. */
  format: string;
  signal?: AbortSignal | undefined;
}

/**
 * Compares all logits on fixed random tokens. Throws `numeric` when they differ by more than allowed. Where the format rounds weights once
 * more, the export must be exactly the rounded model, and the rounding itself is what it may differ by from the original.
 */
export async function smokeLoad(options: SmokeLoadOptions): Promise<SmokeLoad> {
  const { original, round, reloaded, allowedShare } = options;
  const expected = await computeLogits(original, options);
  const rounded = round ? await computeLogits(() => roundedModel(original, round), options) : expected;
  const actual = await computeLogits(reloaded, options);
  const { largest, largestDifference: difference } = compare(rounded.logits, actual.logits);
  const allowed = allowedShare * (1 + largest);
  if (!(difference <= allowed))
    throw new RoundoffError(
      'numeric',
      `The ${options.format} export, read back, differs from the model it was made from: its logits are off by ${difference.toPrecision(3)}, at most ${allowed.toPrecision(3)} are allowed.`,
      'The export was removed. Check the disk, then export again; if it happens again, report it with the scheme used.',
    );
  const { tokens } = expected;
  const { largestDifference } = compare(expected.logits, actual.logits);
  return { tokens, largestDifference, allowedDifference: allowed + compare(expected.logits, rounded.logits).largestDifference };
}

async function roundedModel(load: () => Promise<LanguageModel>, round: (model: LanguageModel) => Promise<void>): Promise<LanguageModel> {
  const model = await load();
  try {
    await round(model);
    return model;
  } catch (error) {
    model.dispose();
    throw error;
  }
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
