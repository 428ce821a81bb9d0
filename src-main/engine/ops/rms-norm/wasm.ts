/** RMSNorm on the wasm backend: one pass forward, one pass back. */
import type * as tf from '@tensorflow/tfjs-core';
import { kernels, runParallel } from '../../backends/wasm/kernel-module.ts';
import { pointerOf } from '../../backends/wasm/memory.ts';
import { workspace } from '../../backends/wasm/workspace.ts';
import { pointers, registerWasmKernel, sizeOf } from '../kernel.ts';

const elementsPerChunk = 2 ** 15;

registerWasmKernel('RmsNorm', ({ inputs, attributes, output }) => {
  const { x, weight } = inputs as { x: tf.TensorInfo; weight: tf.TensorInfo };
  const size = weight.shape[0]!;
  const rows = sizeOf(x) / size;
  const y = output(x.shape);
  const rstd = output([rows]);
  runParallel('rmsNormForward', rows, rowsPerChunk(size), [...pointers(x, weight, y, rstd), size, attributes.epsilon as number]);
  return [y, rstd];
});

registerWasmKernel('RmsNormGrad', ({ inputs, output }) => {
  const { x, weight, dy, rstd } = inputs as { x: tf.TensorInfo; weight: tf.TensorInfo; dy: tf.TensorInfo; rstd: tf.TensorInfo };
  const size = weight.shape[0]!;
  const dx = output(x.shape);
  const dWeight = output(weight.shape);
  const rows = sizeOf(x) / size;
  const blockRows = kernels().rmsNormBlockRows.value;
  const blocks = Math.ceil(rows / blockRows);
  const partial = workspace(4 * blocks * size);
  const blocksPerChunk = Math.ceil(rowsPerChunk(size) / blockRows);
  runParallel('rmsNormBackward', blocks, blocksPerChunk, [...pointers(x, weight, dy, rstd, dx), partial, rows, size]);
  kernels().sumRows(partial, pointerOf(dWeight), blocks, size);
  return [dx, dWeight];
});

function rowsPerChunk(size: number): number {
  return Math.max(1, Math.ceil(elementsPerChunk / size));
}
