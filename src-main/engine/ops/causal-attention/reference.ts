/**
 * Causal grouped-query attention from plain tensor ops. Key and value heads are repeated explicitly, because `tf.matMul` broadcasts an inner
 * batch dimension wrongly on the stock backends.
 */
import * as tf from '@tensorflow/tfjs-core';

export function causalAttentionReference(q: tf.Tensor4D, k: tf.Tensor4D, v: tf.Tensor4D, scale: number): tf.Tensor4D {
  return tf.tidy(() => {
    const [batch, seq, heads, headDim] = q.shape;
    const [, keys, kvHeads] = k.shape;
    const group = heads / kvHeads;
    const perHead = (x: tf.Tensor4D, length: number, repeats: number) => {
      const heading = tf.transpose(x, [0, 2, 1, 3]);
      const repeated = repeats === 1 ? heading : tf.concat(Array<tf.Tensor>(repeats).fill(tf.expandDims(heading, 2)), 2);
      return tf.reshape(repeated, [batch * heads, length, headDim]);
    };
    const scores = tf.mul(tf.matMul(perHead(q, seq, 1), perHead(k, keys, group), false, true), scale);
    const probabilities = tf.softmax(tf.add(scores, causalMask(seq, keys)));
    const mixed = tf.matMul(probabilities, perHead(v, keys, group)) as tf.Tensor3D;
    return tf.transpose(tf.reshape(mixed, [batch, heads, seq, headDim]), [0, 2, 1, 3]) as tf.Tensor4D;
  });
}

/** 0 where query i (the last `seq` of `keys` positions) may look, a large negative number elsewhere. [seq, keys] */
function causalMask(seq: number, keys: number): tf.Tensor2D {
  const values = new Float32Array(seq * keys);
  for (let i = 0; i < seq; i++) values.fill(-1e9, i * keys + (keys - seq) + i + 1, (i + 1) * keys);
  return tf.tensor2d(values, [seq, keys]);
}
