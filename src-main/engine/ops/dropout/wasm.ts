/** Dropout on the wasm backend, elements spread over the cores. */
import type * as tf from '@tensorflow/tfjs-core';
import { runParallel } from '../../backends/wasm/kernel-module.ts';
import { pointers, registerWasmKernel, sizeOf } from '../kernel.ts';

/** A multiple of 4. */
const elementsPerChunk = 2 ** 15;

registerWasmKernel('SeededDropout', ({ inputs, attributes, output }) => {
  const { x } = inputs as { x: tf.TensorInfo };
  const { seed, threshold, factor } = attributes as { seed: number; threshold: number; factor: number };
  const y = output(x.shape);
  // Unsigned numbers cross to wasm as the signed ones of the same bits.
  runParallel('dropout', sizeOf(x), elementsPerChunk, [...pointers(x, y), seed | 0, threshold | 0, factor]);
  return [y];
});
