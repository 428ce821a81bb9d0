/** 16-bit floats from plain tensor ops: every half word looked up in a table of all values. */
import * as tf from '@tensorflow/tfjs-core';

const tables = new Map<string, Float32Array>();

/** int32 words → float32 [2 · words]. */
export function unpackHalfReference(words: tf.Tensor1D, type: 'f16' | 'bf16'): tf.Tensor1D {
  return tf.tidy(() => {
    const high = tf.floorDiv(words, tf.scalar(65536, 'int32'));
    const low = tf.sub(words, tf.mul(high, tf.scalar(65536, 'int32')));
    const positive = tf.add(high, tf.mul(tf.cast(tf.less(high, tf.scalar(0, 'int32')), 'int32'), tf.scalar(65536, 'int32')));
    const halves = tf.reshape(tf.stack([low, positive], 1), [-1]) as tf.Tensor1D;
    return tf.gather(tf.tensor1d(halfValues(type)), tf.cast(halves, 'int32'));
  });
}

/** The float32 value of every 16-bit word. */
export function halfValues(type: 'f16' | 'bf16'): Float32Array {
  const known = tables.get(type);
  if (known) return known;
  const words = Uint32Array.from({ length: 65536 }, (_, word) => word);
  const values = type === 'bf16' ? new Float32Array(words.map((word) => word << 16).buffer) : Float32Array.from(words, halfValue);
  tables.set(type, values);
  return values;
}

function halfValue(word: number): number {
  const sign = word & 0x8000 ? -1 : 1;
  const exponent = (word >> 10) & 31;
  const fraction = word & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
