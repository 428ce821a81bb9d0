/** A linear layer whose weights stay as 16-bit words, as checkpoints hold them: half the memory of float32, and the same values. */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { hasKernel, runKernel } from '../kernel.ts';
import { halfValues, unpackHalfReference } from './reference.ts';
import './webgpu.ts';

export type HalfType = 'f16' | 'bf16';

/** Two values per int32 word, the first in its low half, in row-major order. */
export interface HalfWeight {
  type: HalfType;
  outFeatures: number;
  inFeatures: number;
  /** int32 [out · in / 2] */
  words: tf.Tensor1D;
}

/**
 * Takes the bytes of a matrix as safetensors hold them, little-endian, aligned to words. The caller disposes the words.
 * @throws RoundoffError `internal` for an odd number of values
 */
export function packHalf(bytes: Uint8Array, [outFeatures, inFeatures]: readonly [number, number], type: HalfType): HalfWeight {
  const count = outFeatures * inFeatures;
  if (count % 2 === 1 || bytes.byteLength !== 2 * count) {
    const message = `${bytes.byteLength} bytes for a 16-bit matrix of ${outFeatures} by ${inFeatures}`;
    throw new RoundoffError('internal', message, 'Load the matrix as float32.');
  }
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, count / 2);
  return { type, outFeatures, inFeatures, words: tf.keep(tf.tensor1d(words, 'int32')) };
}

/** The first value that is infinite or no number, in bytes as `packHalf` takes them; null where all are finite. */
export function firstNonFiniteHalf(bytes: Uint8Array, type: HalfType): { index: number; value: number } | null {
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  const exponent = type === 'f16' ? 0x7c00 : 0x7f80;
  const index = halves.findIndex((half) => (half & exponent) === exponent);
  return index < 0 ? null : { index, value: halfValues(type)[halves[index]!]! };
}

/**
 * @param x [rows, in]
 * @param bias [out] or null
 * @returns x · Wᵀ + bias, [rows, out]; differentiable in x, the weight gets no gradient.
 */
export function halfLinear(x: tf.Tensor2D, weight: HalfWeight, bias: tf.Tensor1D | null): tf.Tensor2D {
  const { type, outFeatures, inFeatures, words } = weight;
  if (hasKernel('HalfLinear')) {
    return runKernel('HalfLinear', bias ? { x, words, bias } : { x, words }, { type, outFeatures, inFeatures })[0] as tf.Tensor2D;
  }
  return tf.tidy(() => {
    const product = tf.matMul(x, unpackHalf(weight), false, true);
    return bias ? tf.add(product, bias) : product;
  }) as tf.Tensor2D;
}

/** The values as float32, [out, in]; the caller disposes them. */
export function unpackHalf({ type, outFeatures, inFeatures, words }: HalfWeight): tf.Tensor2D {
  const shape: [number, number] = [outFeatures, inFeatures];
  if (hasKernel('UnpackHalf')) return runKernel('UnpackHalf', { words }, { type, shape })[0] as tf.Tensor2D;
  return tf.tidy(() => tf.reshape(unpackHalfReference(words, type), shape) as tf.Tensor2D);
}

tf.registerGradient({
  kernelName: 'HalfLinear',
  inputsToSave: ['words'],
  gradFunc: (dys, saved, attributes) => {
    const dy = Array.isArray(dys) ? dys[0]! : dys;
    const [words] = saved as [tf.Tensor1D];
    return {
      x: () => runKernel('HalfLinearGradInput', { dy, words }, attributes as unknown as Record<string, unknown>)[0]!,
      words: () => tf.zerosLike(words),
      bias: () => tf.sum(dy, 0),
    };
  },
});
