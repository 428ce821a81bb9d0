/**
 * A linear whose weights stay packed in the backend's memory: 2 to 8 bits on integer grids, or NF4. Kernels of the backend multiply by them in
 * place, forward and backward; where it has none they are dequantized inside the op, one linear at a time, and forgotten. Values are those of
 * the stored codes, exactly.
 */
import * as tf from '@tensorflow/tfjs-core';
import { nf4BlockSize } from '../../formats/nf4.ts';
import { groupCount, packCodes, unpackCodes } from '../../formats/packed-linear.ts';
import type { StoredLinear } from '../../formats/stored-linear.ts';
import { hasKernel, runKernel } from '../kernel.ts';
import { linear } from '../linear/index.ts';
import { dequantizeReference } from './reference.ts';
import { type PackedWeight, streamShape } from './weight.ts';
import './wasm.ts';
import './webgpu.ts';

export type { PackedWeight } from './weight.ts';

/** The kernels read eight bytes at a time. */
const paddingWords = 2;

/** Puts a stored linear into the active backend's memory; `disposePacked` frees it. */
export function packWeight(stored: StoredLinear): PackedWeight {
  const { bits, outFeatures, inFeatures, codes } = stored;
  if (stored.coding === 'nf4') {
    return {
      layout: { coding: 'nf4', bits, outFeatures, inFeatures, groupSize: nf4BlockSize },
      words: wordTensor(packCodes(codes, 1, codes.length, bits)),
      scales: tf.keep(tf.tensor1d(stored.absmax)),
      zeros: null,
      groupIndex: null,
    };
  }
  const { symmetric, groupSize, scales, zeros, groupIndex } = stored;
  const groups = groupCount(inFeatures, groupSize);
  return {
    layout: { coding: 'integer', bits, outFeatures, inFeatures, groupSize, symmetric },
    words: wordTensor(packCodes(codes, outFeatures, inFeatures, bits)),
    scales: tf.keep(tf.tensor2d(scales, [outFeatures, groups])),
    zeros: symmetric ? null : wordTensor(packCodes(zeros, 1, zeros.length, bits)),
    groupIndex: groupIndex ? tf.keep(tf.tensor1d(groupIndex, 'int32')) : null,
  };
}

/** Codes [out, in], scales and zero points read back. */
export async function unpackWeight({ layout, words, scales, zeros }: PackedWeight): Promise<{
  codes: Uint8Array;
  scales: Float32Array;
  zeros: Uint8Array;
}> {
  const { bits, outFeatures, inFeatures } = layout;
  const [rows, columns] = layout.coding === 'nf4' ? [1, outFeatures * inFeatures] : [outFeatures, inFeatures];
  const floats = (await scales.data<'float32'>()).slice();
  const zeroCodes = zeros
    ? unpackCodes(await zeros.data<'int32'>(), 1, floats.length, bits)
    : new Uint8Array(floats.length).fill(2 ** (bits - 1));
  return { codes: unpackCodes(await words.data<'int32'>(), rows, columns, bits), scales: floats, zeros: zeroCodes };
}

/** Bytes in the backend's memory. */
export function packedWeightBytes({ words, scales, zeros, groupIndex }: PackedWeight): number {
  return [words, scales, zeros, groupIndex].reduce((sum, tensor) => sum + 4 * (tensor?.size ?? 0), 0);
}

export function disposePacked({ words, scales, zeros, groupIndex }: PackedWeight): void {
  tf.dispose([words, scales, zeros, groupIndex].filter((tensor) => tensor !== null));
}

/** The weights [out, in]. */
export function dequantizeWeight(weight: PackedWeight): tf.Tensor2D {
  const { layout } = weight;
  const kernel = layout.coding === 'nf4' ? 'DequantizeNf4' : 'DequantizeInteger';
  if (!hasKernel(kernel)) return dequantizeReference(weight);
  return runKernel(kernel, partsOf(weight), { ...layout, ...streamShape(layout) })[0] as tf.Tensor2D;
}

/**
 * x · Wᵀ + bias. Differentiable in x: the weights are constants.
 * @param x [rows, in]
 * @returns [rows, out]
 */
export function packedLinear(x: tf.Tensor2D, weight: PackedWeight, bias: tf.Tensor1D | null): tf.Tensor2D {
  const op = tf.customGrad((...inputs: (tf.Tensor | tf.GradSaveFunc)[]) => {
    const value = product(inputs[0] as tf.Tensor2D, weight, bias);
    // What a gradient function makes on the way lives until the whole backward pass ends, unless it tidies up itself.
    const gradFunc = (dy: tf.Tensor) => tf.tidy(() => inputGradient(dy as tf.Tensor2D, weight));
    return { value, gradFunc };
  });
  return tf.tidy(() => op(x) as tf.Tensor2D);
}

function product(x: tf.Tensor2D, weight: PackedWeight, bias: tf.Tensor1D | null): tf.Tensor2D {
  if (!hasKernel('PackedLinear')) return linear(x, dequantizeWeight(weight), bias);
  return runKernel('PackedLinear', { x, ...partsOf(weight), ...(bias ? { bias } : {}) }, weight.layout)[0] as tf.Tensor2D;
}

function inputGradient(dy: tf.Tensor2D, weight: PackedWeight): tf.Tensor2D {
  if (!hasKernel('PackedLinearGradInput')) return tf.matMul(dy, dequantizeWeight(weight));
  return runKernel('PackedLinearGradInput', { dy, ...partsOf(weight) }, weight.layout)[0] as tf.Tensor2D;
}

function partsOf({ words, scales, zeros, groupIndex }: PackedWeight): Record<string, tf.Tensor> {
  return { words, scales, ...(zeros ? { zeros } : {}), ...(groupIndex ? { groupIndex } : {}) };
}

function wordTensor(words: Int32Array): tf.Tensor1D {
  const padded = new Int32Array(words.length + paddingWords);
  padded.set(words);
  return tf.keep(tf.tensor1d(padded, 'int32'));
}
