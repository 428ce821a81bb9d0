/** Multiplies rows by a Kronecker product of two small matrices: online Hadamard and FlatQuant transforms. Differentiable throughout. */
import * as tf from '@tensorflow/tfjs-core';
import { hasKernel, runKernel } from '../kernel.ts';
import { kroneckerReference } from './reference.ts';
import './wasm.ts';
import './webgpu.ts';

/** The kernels work a row at a time in the cache, or in a workgroup's memory; larger factors go through the matrix product. */
const largestKernelFactor = 64;

/**
 * x · (left ⊗ right) row by row: a row [n1 · n2] seen as X [n1, n2] becomes leftᵀ · X · right. Null stands for the identity.
 * @param x [rows, n1 · n2]
 * @param left [n1, n1]
 * @param right [n2, n2]
 */
export function kronecker(x: tf.Tensor2D, left: tf.Tensor2D | null, right: tf.Tensor2D | null): tf.Tensor2D {
  const n1 = left?.shape[0] ?? 1;
  const columns = x.shape[1] / n1;
  const fitsKernel = left !== null && columns % 4 === 0 && Math.max(n1, columns) <= largestKernelFactor;
  if (!fitsKernel || !hasKernel('Kronecker')) return kroneckerReference(x, left, right);
  const op = tf.customGrad((...inputs: (tf.Tensor | tf.GradSaveFunc)[]) => {
    const save = inputs.pop() as tf.GradSaveFunc;
    const value = runKernel('Kronecker', named(inputs as tf.Tensor[]))[0]!;
    save(inputs as tf.Tensor[]);
    return { value, gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => runKernel('KroneckerGrad', { ...named(saved), dy }) };
  });
  return (right ? op(x, left, right) : op(x, left)) as tf.Tensor2D;
}

function named([x, left, right]: tf.Tensor[]): Record<string, tf.Tensor> {
  return right ? { x: x!, left: left!, right } : { x: x!, left: left! };
}
