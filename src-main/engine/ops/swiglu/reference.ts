/** SwiGLU's gating from plain tensor ops: silu(gate) · up (Shazeer, arXiv 2002.05202). */
import * as tf from '@tensorflow/tfjs-core';

export function swigluReference<T extends tf.Tensor>(gate: T, up: T): T {
  return tf.tidy(() => tf.mul(tf.mul(gate, tf.sigmoid(gate)), up) as T);
}
