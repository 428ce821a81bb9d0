/** RMSNorm on the wasm backend: one pass forward, one pass back. */
import type * as tf from '@tensorflow/tfjs-core';
import { kernels } from '../../backends/wasm/kernel-module.ts';
import { pointers, registerWasmKernel, sizeOf } from '../kernel.ts';

registerWasmKernel('RmsNorm', ({ inputs, attributes, output }) => {
  const { x, weight } = inputs as { x: tf.TensorInfo; weight: tf.TensorInfo };
  const size = weight.shape[0]!;
  const rows = sizeOf(x) / size;
  const y = output(x.shape);
  const rstd = output([rows]);
  const [px, pw, py, pr] = pointers(x, weight, y, rstd) as [number, number, number, number];
  kernels().rmsNormForward(px, pw, py, pr, rows, size, attributes.epsilon as number);
  return [y, rstd];
});

registerWasmKernel('RmsNormGrad', ({ inputs, output }) => {
  const { x, weight, dy, rstd } = inputs as { x: tf.TensorInfo; weight: tf.TensorInfo; dy: tf.TensorInfo; rstd: tf.TensorInfo };
  const size = weight.shape[0]!;
  const dx = output(x.shape);
  const dWeight = output(weight.shape);
  const places = pointers(x, weight, dy, rstd, dx, dWeight);
  kernels().rmsNormBackward(...places, sizeOf(x) / size, size);
  return [dx, dWeight];
});
