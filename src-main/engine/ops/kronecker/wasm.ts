/** Kronecker products on the wasm backend, without transposed copies; all gradients in one pass. */
import type * as tf from '@tensorflow/tfjs-core';
import { kernels, runParallel } from '../../backends/wasm/kernel-module.ts';
import { kernelThreads } from '../../backends/wasm/kernel-threads.ts';
import { floatsAt, pointerOf } from '../../backends/wasm/memory.ts';
import { workspace } from '../../backends/wasm/workspace.ts';
import { pointers, registerWasmKernel } from '../kernel.ts';

const productsPerChunk = 2 ** 17;

interface Inputs {
  x: tf.TensorInfo;
  left: tf.TensorInfo;
  /** Left out for the identity. */
  right?: tf.TensorInfo;
  dy: tf.TensorInfo;
}

registerWasmKernel('Kronecker', ({ inputs, output }) => {
  const { x, left, right } = inputs as unknown as Inputs;
  const { rows, n1, n2 } = sizesOf(x, left);
  const y = output(x.shape);
  const scratch = workspace(kernelThreads * kernels().kroneckerScratch(n1, n2));
  const rowsPerChunk = Math.ceil(productsPerChunk / (n1 * n2 * (n1 + n2)));
  const places = [...pointers(x, left), right ? pointerOf(right) : 0, pointerOf(y), scratch];
  runParallel('kroneckerForward', rows, rowsPerChunk, [...places, n1, n2]);
  return [y];
});

registerWasmKernel('KroneckerGrad', ({ inputs, output }) => {
  const { x, left, right, dy } = inputs as unknown as Inputs;
  const { rows, n1, n2 } = sizesOf(x, left);
  const outputs = [output(x.shape), output([n1, n1]), ...(right ? [output([n2, n2])] : [])];
  const { kroneckerBlockRows, kroneckerGradients, kroneckerScratch, sumRows } = kernels();
  const blocks = Math.ceil(rows / kroneckerBlockRows.value);
  const floats = kroneckerGradients(n1, n2);
  const perThread = kroneckerScratch(n1, n2);
  const scratch = workspace(kernelThreads * perThread + 4 * (blocks + 1) * floats);
  const partial = scratch + kernelThreads * perThread;
  const total = partial + 4 * blocks * floats;
  const places = [...pointers(x, left), right ? pointerOf(right) : 0, ...pointers(dy, outputs[0]!), partial, scratch];
  const products = kroneckerBlockRows.value * 3 * n1 * n2 * (n1 + n2);
  runParallel('kroneckerBackward', blocks, Math.max(1, Math.floor(productsPerChunk / products)), [...places, rows, n1, n2]);
  sumRows(partial, total, blocks, floats);
  // Rows of the left gradient are padded to whole vectors.
  const padded = (floats - n2 * n2) / n1;
  const sums = floatsAt(total, floats);
  const dLeft = floatsAt(pointerOf(outputs[1]!), n1 * n1);
  for (let row = 0; row < n1; row++) dLeft.set(sums.subarray(row * padded, row * padded + n1), row * n1);
  if (right) floatsAt(pointerOf(outputs[2]!), n2 * n2).set(sums.subarray(n1 * padded));
  return outputs;
});

function sizesOf(x: tf.TensorInfo, left: tf.TensorInfo): { rows: number; n1: number; n2: number } {
  const [rows, size] = x.shape as [number, number];
  const n1 = left.shape[0]!;
  return { rows, n1, n2: size / n1 };
}
