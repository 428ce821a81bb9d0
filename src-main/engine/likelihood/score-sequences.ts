/**
 * How likely a model finds given tokens: sequences lie one after the other in one row of the forward pass, attention stays within each, and
 * logits exist for a few of the scored positions at a time.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { LanguageModel } from '../model/language-model.ts';
import { tokenStatistics } from '../ops/index.ts';

export interface ScoredSequence {
  ids: readonly number[];
  /** The first position that is scored, at least 1: the first token has nothing before it. */
  from: number;
}

/** Tokens that go through the layers at once. Longer single sequences go alone. */
export const batchTokens = 2048;

/** Σ log p(token | tokens before it) over the scored positions of each sequence, in nats, summed in float64. */
export async function scoreSequences(model: LanguageModel, sequences: readonly ScoredSequence[]): Promise<number[]> {
  const lengths = sequences.map(({ ids }) => ids.length);
  const [logProbabilities, entropies] = tf.tidy((): [tf.Tensor1D, tf.Tensor1D] => {
    const ids = tf.tensor2d([sequences.flatMap((sequence) => [...sequence.ids])], undefined, 'int32');
    const hidden = tf.reshape(model.forward(ids, { lengths }), [-1, model.config.hiddenSize]) as tf.Tensor2D;
    const targets = tf.tensor1d(sequences.flatMap(followers), 'int32');
    const mask = tf.tensor1d(sequences.flatMap(scoredRows), 'float32');
    const statistics = tokenStatistics(hidden, model.headWeight(), targets, mask, { temperature: 1 });
    return [statistics.logProbabilities, statistics.entropies];
  });
  const values = await logProbabilities.data();
  tf.dispose([logProbabilities, entropies]);
  let start = 0;
  return sequences.map(({ ids }) => {
    let sum = 0;
    for (let row = start; row < start + ids.length; row++) sum += values[row]!;
    start += ids.length;
    return sum;
  });
}

/** Consecutive groups of at most `batchTokens` tokens; always the same ones for the same items, so that results do not depend on a resume. */
export function batchesOf<T>(items: readonly T[], tokensOf: (item: T) => number): T[][] {
  const batches: T[][] = [];
  let tokens = 0;
  for (const item of items) {
    const own = tokensOf(item);
    if (batches.length === 0 || tokens + own > batchTokens) {
      batches.push([]);
      tokens = 0;
    }
    batches.at(-1)!.push(item);
    tokens += own;
  }
  return batches;
}

/** The token after each position; the last position predicts none. */
function followers({ ids }: ScoredSequence): number[] {
  return [...ids.slice(1), 0];
}

/** 1 for rows that predict a scored token. */
function scoredRows({ ids, from }: ScoredSequence): number[] {
  return ids.map((_, row) => (row + 1 >= from && row + 1 < ids.length ? 1 : 0));
}
