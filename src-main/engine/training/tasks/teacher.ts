/** What a teacher says about a batch: its hidden states, or its most probable tokens. */
import * as tf from '@tensorflow/tfjs-core';
import type { LanguageModel } from '../../model/language-model.ts';
import type { TrainingBatch } from '../examples.ts';

/** Rows of logits read back at once. */
const chunkElements = 2 ** 22;

/** The k most probable tokens of one row, most probable first, and their logits. */
export interface TopLogits {
  /** [rows, k] */
  indices: Int32Array;
  /** [rows, k] */
  logits: Float32Array;
}

/** Final hidden states [batch · seq, hidden] of a batch, without a gradient. The caller disposes them. */
export function teacherStates(teacher: LanguageModel, { inputs, lengths }: Pick<TrainingBatch, 'inputs' | 'lengths'>): tf.Tensor2D {
  return tf.tidy(() => tf.reshape(teacher.forward(inputs, { lengths }), [-1, teacher.config.hiddenSize]));
}

/** The top k logits of some rows of hidden states [all rows, hidden]. Equal logits rank by token. */
export async function topLogits(teacher: LanguageModel, states: tf.Tensor2D, rows: readonly number[], k: number): Promise<TopLogits> {
  const { vocabSize } = teacher.config;
  const found = { indices: new Int32Array(rows.length * k), logits: new Float32Array(rows.length * k) };
  const chunkRows = Math.max(1, Math.floor(chunkElements / vocabSize));
  for (let start = 0; start < rows.length; start += chunkRows) {
    const chosen = rows.slice(start, start + chunkRows);
    const logits = tf.tidy(() => teacher.logits(tf.gather(states, tf.tensor1d(chosen, 'int32'))));
    const values = (await logits.data()) as Float32Array;
    logits.dispose();
    for (let row = 0; row < chosen.length; row++) {
      const top = largest(values.subarray(row * vocabSize, (row + 1) * vocabSize), k);
      found.indices.set(top, (start + row) * k);
      for (const [place, token] of top.entries()) found.logits[(start + row) * k + place] = values[row * vocabSize + token]!;
    }
  }
  return found;
}

/** Indices of the k largest values, largest first: a heap of k whose smallest is compared with each value. */
function largest(values: Float32Array, k: number): number[] {
  const before = (a: number, b: number) => values[a]! > values[b]! || (values[a] === values[b] && a < b);
  const heap: number[] = [];
  const sink = (from: number) => {
    for (let place = from; ; ) {
      let last = place;
      for (const child of [2 * place + 1, 2 * place + 2]) if (child < heap.length && before(heap[last]!, heap[child]!)) last = child;
      if (last === place) return;
      [heap[place], heap[last]] = [heap[last]!, heap[place]!];
      place = last;
    }
  };
  for (let token = 0; token < values.length; token++) {
    if (heap.length < k) {
      heap.push(token);
      if (heap.length === k) for (let place = (k >> 1) - 1; place >= 0; place--) sink(place);
    } else if (before(token, heap[0]!)) {
      heap[0] = token;
      sink(0);
    }
  }
  return heap.sort((a, b) => (before(a, b) ? -1 : 1));
}
