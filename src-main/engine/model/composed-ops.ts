/**
 * The decoder's building blocks composed of plain tfjs ops: correct on every backend, with tfjs' own gradients.
 */
import * as tf from '@tensorflow/tfjs-core';

/** x · rsqrt(mean(x²) + eps) · weight over the last axis. */
export function rmsNorm(x: tf.Tensor, weight: tf.Tensor1D, eps: number): tf.Tensor {
  return tf.tidy(() => tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), eps))), weight));
}

/** x [batch, seq, heads, dim]; cos and sin [≥ seq, dim / 2]. */
export function rotaryEmbedding(x: tf.Tensor4D, cos: tf.Tensor2D, sin: tf.Tensor2D): tf.Tensor4D {
  return tf.tidy(() => {
    const [, seq, , dim] = x.shape;
    const c = tf.reshape(tf.slice(cos, [0, 0], [seq, dim / 2]), [1, seq, 1, dim / 2]);
    const s = tf.reshape(tf.slice(sin, [0, 0], [seq, dim / 2]), [1, seq, 1, dim / 2]);
    const [a, b] = tf.split(x, 2, 3) as [tf.Tensor4D, tf.Tensor4D];
    return tf.concat([tf.sub(tf.mul(a, c), tf.mul(b, s)), tf.add(tf.mul(b, c), tf.mul(a, s))], 3) as tf.Tensor4D;
  });
}

export function swiglu(gate: tf.Tensor, up: tf.Tensor): tf.Tensor {
  return tf.tidy(() => tf.mul(tf.mul(gate, tf.sigmoid(gate)), up));
}

/** q [batch, seq, heads, dim], k and v [batch, seq, kvHeads, dim] → [batch, seq, heads, dim]. */
export function causalAttention(q: tf.Tensor4D, k: tf.Tensor4D, v: tf.Tensor4D): tf.Tensor4D {
  return tf.tidy(() => {
    const [, seq, heads, dim] = q.shape;
    const group = heads / k.shape[2];
    const scores = tf.mul(tf.matMul(tf.transpose(q, [0, 2, 1, 3]), repeatHeads(k, group), false, true), 1 / Math.sqrt(dim));
    const mask = tf.linalg.bandPart(tf.ones([seq, seq]), -1, 0);
    const masked = tf.add(scores, tf.mul(tf.sub(1, mask), -1e30));
    return tf.transpose(tf.matMul(tf.softmax(masked), repeatHeads(v, group)), [0, 2, 1, 3]) as tf.Tensor4D;
  });
}

/** [batch, seq, kvHeads, dim] → [batch, kvHeads · group, seq, dim]; tiled explicitly because matMul does not broadcast inner batch axes. */
function repeatHeads(x: tf.Tensor4D, group: number): tf.Tensor4D {
  const [batch, seq, heads, dim] = x.shape;
  const tiled = tf.tile(tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [batch, heads, 1, seq, dim]), [1, 1, group, 1, 1]);
  return tf.reshape(tiled, [batch, heads * group, seq, dim]);
}

/** input [rows, in] · weightᵀ [out, in] + bias. */
export function linear(input: tf.Tensor2D, weight: tf.Tensor2D, bias: tf.Tensor1D | null): tf.Tensor2D {
  return tf.tidy(() => {
    const product = tf.matMul(input, weight, false, true);
    return (bias ? tf.add(product, bias) : product) as tf.Tensor2D;
  });
}

/** Rows of `table` [vocab, hidden] for ids [batch, seq] → [batch, seq, hidden]. */
export function embedding(table: tf.Tensor2D, ids: tf.Tensor2D): tf.Tensor3D {
  return tf.gather(table, ids) as unknown as tf.Tensor3D;
}
