/** Rotary embedding on the wasm backend; the gradient is the opposite rotation. */
import * as tf from '@tensorflow/tfjs-core';
import { runParallel } from '../../backends/wasm/kernel-module.ts';
import { firstGradient, pointers, registerWasmKernel, runKernel } from '../kernel.ts';

const elementsPerChunk = 2 ** 15;

registerWasmKernel('RotaryEmbedding', ({ inputs, attributes, output }) => {
  const { x, cos, sin } = inputs as { x: tf.TensorInfo; cos: tf.TensorInfo; sin: tf.TensorInfo };
  const { offset, direction } = attributes as { offset: number; direction: number };
  const [batch, seq, heads, headDim] = x.shape as [number, number, number, number];
  const y = output(x.shape);
  const rowsPerChunk = Math.ceil(elementsPerChunk / (heads * headDim));
  const places = pointers(x, cos, sin, y);
  runParallel('rotate', batch * seq, rowsPerChunk, [...places, seq, heads, headDim / 2, offset, direction]);
  return [y];
});

tf.registerGradient({
  kernelName: 'RotaryEmbedding',
  inputsToSave: ['cos', 'sin'],
  gradFunc: (dys, saved, attributes) => {
    const [cos, sin] = saved as [tf.Tensor, tf.Tensor];
    const { offset, direction } = attributes as unknown as { offset: number; direction: number };
    const rotateBack = () => runKernel('RotaryEmbedding', { x: firstGradient(dys), cos, sin }, { offset, direction: -direction })[0]!;
    return { x: rotateBack, cos: () => tf.zerosLike(cos), sin: () => tf.zerosLike(sin) };
  },
});
