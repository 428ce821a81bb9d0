/** Causal attention over whole sequences, with grouped key and value heads and no head transposes. */

import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { hasKernel, runKernel } from '../kernel.ts';
import { causalAttentionReference } from './reference.ts';
import './wasm.ts';
import './webgpu.ts';

export interface CausalAttentionOptions {
  /** Factor on the scores, 1/√headDim when left out. */
  scale?: number;
  /**
   * Of sequences that lie one after the other in a batch of one row and attend to themselves alone; together they are `seq` long. Each is computed
   * by itself, so nothing is spent on what they do not see of each other.
   */
  lengths?: readonly number[] | undefined;
}

/**
 * Query t attends to keys 0 … (keys − seq) + t, so the queries are the last `seq` positions.
 * @param q [batch, seq, heads, headDim]
 * @param k [batch, keys, kvHeads, headDim], keys ≥ seq; query head h reads key head ⌊h · kvHeads / heads⌋
 * @param v [batch, keys, kvHeads, headDim]
 * @returns [batch, seq, heads, headDim]; differentiable in q, k and v.
 */
export function causalAttention(q: tf.Tensor4D, k: tf.Tensor4D, v: tf.Tensor4D, options: CausalAttentionOptions = {}): tf.Tensor4D {
  const [batch, seq, heads, headDim] = q.shape;
  const [keyBatch, keys, kvHeads, keyDim] = k.shape;
  const fits =
    batch === keyBatch && keyDim === headDim && keys >= seq && heads % kvHeads === 0 && k.shape.every((size, i) => size === v.shape[i]);
  if (!fits) {
    const shapes = `q [${q.shape}], k [${k.shape}], v [${v.shape}]`;
    throw new RoundoffError('internal', `attention shapes do not fit: ${shapes}`, 'This is a defect in Roundoff; please report it.');
  }
  const scale = options.scale ?? 1 / Math.sqrt(headDim);
  if (options.lengths) return packedAttention(q, k, v, options.lengths, scale);
  // The kernel works on whole vectors of four; other head sizes take the composed form.
  if (headDim % 4 === 0 && hasKernel('CausalAttention')) return runKernel('CausalAttention', { q, k, v }, { scale })[0] as tf.Tensor4D;
  return causalAttentionReference(q, k, v, scale);
}

/** Whether sequences packed into one row cost the active backend less than padded ones: where attention takes them in one call. */
export function packedRowsPay(): boolean {
  return hasKernel('PackedCausalAttention');
}

function packedAttention(q: tf.Tensor4D, k: tf.Tensor4D, v: tf.Tensor4D, lengths: readonly number[], scale: number): tf.Tensor4D {
  const starts = [0];
  for (const length of lengths) starts.push(starts.at(-1)! + length);
  if (q.shape[0] !== 1 || q.shape[1] !== starts.at(-1) || k.shape[1] !== starts.at(-1))
    throw new RoundoffError(
      'internal',
      `sequences of ${starts.at(-1)} tokens do not fill q [${q.shape}], k [${k.shape}]`,
      'Pack them into one row.',
    );
  return tf.tidy(() => {
    if (q.shape[3] % 4 === 0 && hasKernel('PackedCausalAttention')) {
      const inputs = { q, k, v, starts: tf.tensor1d(starts, 'int32') };
      return runKernel('PackedCausalAttention', inputs, { scale, longest: Math.max(...lengths) })[0] as tf.Tensor4D;
    }
    const [queries, keys, values] = [q, k, v].map((x) => tf.split(x, [...lengths], 1)) as [tf.Tensor4D[], tf.Tensor4D[], tf.Tensor4D[]];
    return tf.concat(
      queries.map((query, index) => causalAttention(query, keys[index]!, values[index]!, { scale })),
      1,
    );
  });
}
