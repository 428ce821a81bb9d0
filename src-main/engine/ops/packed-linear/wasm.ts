/** Dequantization on the wasm backend, spread over the cores. */
import type * as tf from '@tensorflow/tfjs-core';
import { runParallel } from '../../backends/wasm/kernel-module.ts';
import { floatsAt, pointerOf } from '../../backends/wasm/memory.ts';
import { workspace } from '../../backends/wasm/workspace.ts';
import { nf4Levels } from '../../formats/nf4.ts';
import { registerWasmKernel } from '../kernel.ts';

interface Attributes {
  bits: number;
  outFeatures: number;
  inFeatures: number;
  groupSize: number;
  wordsPerRow: number;
  groups: number;
}
type Inputs = { words: tf.TensorInfo; scales: tf.TensorInfo; zeros?: tf.TensorInfo; groupIndex?: tf.TensorInfo };

/** Weights per chunk of work: some tens of microseconds. */
const chunkWeights = 1 << 15;

registerWasmKernel('DequantizeInteger', ({ inputs, attributes, output }) => {
  const { words, scales, zeros, groupIndex } = inputs as Inputs;
  const { bits, outFeatures, inFeatures, groupSize, wordsPerRow, groups } = attributes as unknown as Attributes;
  const y = output([outFeatures, inFeatures]);
  const pointer = (tensor?: tf.TensorInfo) => (tensor ? pointerOf(tensor) : 0);
  const offsets = [words, scales, zeros, groupIndex, y].map(pointer);
  const numbers = [inFeatures, wordsPerRow, groups, groupSize, bits];
  runParallel('dequantizeInteger', outFeatures, Math.max(1, Math.floor(chunkWeights / inFeatures)), [...offsets, ...numbers]);
  return [y];
});

registerWasmKernel('DequantizeNf4', ({ inputs, attributes, output }) => {
  const { words, scales } = inputs as Inputs;
  const { outFeatures, inFeatures, groupSize, groups } = attributes as unknown as Attributes;
  const y = output([outFeatures, inFeatures]);
  const levels = workspace(4 * nf4Levels.length);
  floatsAt(levels, nf4Levels.length).set(nf4Levels);
  const parameters = [pointerOf(words), pointerOf(scales), levels, pointerOf(y), outFeatures * inFeatures, groupSize];
  runParallel('dequantizeNf4', groups, Math.max(1, Math.floor(chunkWeights / groupSize)), parameters);
  return [y];
});
