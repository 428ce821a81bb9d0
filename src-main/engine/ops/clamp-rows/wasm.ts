/** Clamping of rows on the wasm backend. */
import type * as tf from '@tensorflow/tfjs-core';
import { runParallel } from '../../backends/wasm/kernel-module.ts';
import { pointers, registerWasmKernel } from '../kernel.ts';

const elementsPerChunk = 2 ** 14;

type Inputs = Record<'x' | 'dy' | 'stats' | 'high' | 'low', tf.TensorInfo>;

registerWasmKernel('ClampRows', ({ inputs, output }) => {
  const { x, high, low } = inputs as Inputs;
  const [rows, size] = x.shape as [number, number];
  const y = output(x.shape);
  const stats = output([rows, 2]);
  runParallel('clampRowsForward', rows, Math.ceil(elementsPerChunk / size), [...pointers(x, high, low, y, stats), size]);
  return [y, stats];
});

registerWasmKernel('ClampRowsGrad', ({ inputs, output }) => {
  const { x, dy, stats, high, low } = inputs as Inputs;
  const [rows, size] = x.shape as [number, number];
  const [dx, dHigh, dLow] = [output(x.shape), output([rows]), output([rows])] as const;
  const places = pointers(x, dy, stats, high, low, dx, dHigh, dLow);
  runParallel('clampRowsBackward', rows, Math.ceil(elementsPerChunk / size), [...places, size]);
  return [dx, dHigh, dLow];
});
