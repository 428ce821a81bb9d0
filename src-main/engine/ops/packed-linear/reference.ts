/** Dequantization from plain tensor ops: bit fields of 32-bit words by integer division and remainder. */
import * as tf from '@tensorflow/tfjs-core';
import { nf4Levels } from '../../formats/nf4.ts';
import { type PackedWeight, streamShape } from './weight.ts';

export function dequantizeReference({ layout, words, scales, zeros, groupIndex }: PackedWeight): tf.Tensor2D {
  const { bits, outFeatures, inFeatures, groupSize } = layout;
  return tf.tidy(() => {
    const { wordsPerRow, groups } = streamShape(layout);
    if (layout.coding === 'nf4') {
      const count = outFeatures * inFeatures;
      const codes = bitFields(tf.reshape(words, [1, -1]) as tf.Tensor2D, count, bits);
      const blocks = tf.gather(scales, blockNumbers(count, groupSize));
      return tf.reshape(tf.mul(tf.gather(tf.tensor1d(nf4Levels), tf.reshape(codes, [count])), blocks), [outFeatures, inFeatures]);
    }
    const stream = tf.reshape(tf.slice(words, 0, outFeatures * wordsPerRow), [outFeatures, wordsPerRow]) as tf.Tensor2D;
    const codes = bitFields(stream, inFeatures, bits);
    const middle = tf.fill([outFeatures, groups], 2 ** (bits - 1), 'int32');
    const flat = zeros ? bitFields(tf.reshape(zeros, [1, -1]) as tf.Tensor2D, outFeatures * groups, bits) : middle;
    const group = groupIndex ?? blockNumbers(inFeatures, groupSize);
    const zero = tf.gather(tf.reshape(flat, [outFeatures, groups]), group, 1);
    return tf.mul(tf.cast(tf.sub(codes, zero), 'float32'), tf.gather(scales, group, 1));
  }) as tf.Tensor2D;
}

/** Fields 0 … count − 1 of `bits` bits of each row's stream; int32 [rows, count]. */
function bitFields(words: tf.Tensor2D, count: number, bits: number): tf.Tensor2D {
  const at = (value: (word: number, shift: number) => number) =>
    tf.tensor1d(
      Int32Array.from({ length: count }, (_, index) => value(Math.floor((index * bits) / 32), (index * bits) % 32)),
      'int32',
    );
  const low = tf.gather(
    words,
    at((word) => word),
    1,
  );
  // 2³¹ is no int32, so a shift by 31 takes two divisions.
  const shifted = tf.floorDiv(
    tf.floorDiv(
      low,
      at((_, shift) => 2 ** Math.min(shift, 30)),
    ),
    at((_, shift) => (shift === 31 ? 2 : 1)),
  );
  const lowBits = tf.mod(
    shifted,
    at((_, shift) => 2 ** Math.min(bits, 32 - shift)),
  );
  const high = tf.gather(
    words,
    at((word, shift) => (shift + bits > 32 ? word + 1 : word)),
    1,
  );
  const highBits = tf.mod(
    high,
    at((_, shift) => 2 ** Math.max(0, shift + bits - 32)),
  );
  return tf.add(
    lowBits,
    tf.mul(
      highBits,
      at((_, shift) => (shift + bits > 32 ? 2 ** (32 - shift) : 1)),
    ),
  ) as tf.Tensor2D;
}

function blockNumbers(count: number, size: number): tf.Tensor1D {
  return tf.tensor1d(
    Int32Array.from({ length: count }, (_, index) => Math.floor(index / size)),
    'int32',
  );
}
