/** Fake quantization with learnt ranges on the wasm backend: one pass forward, one back. */
import type * as tf from '@tensorflow/tfjs-core';
import { runParallel } from '../../backends/wasm/kernel-module.ts';
import { pointers, registerWasmKernel, sizeOf } from '../kernel.ts';

const elementsPerChunk = 2 ** 14;

type Inputs = Record<'x' | 'dy' | 'stats' | 'high' | 'low', tf.TensorInfo>;

registerWasmKernel('ClippedQuantize', ({ inputs, attributes, output }) => {
  const { x, high, low } = inputs as Inputs;
  const [rows, size] = rowsOf(x);
  const y = output(x.shape);
  const stats = output([rows, 4]);
  const places = [...pointers(x, high, low), sizeOf(high) > 1 ? 1 : 0, ...pointers(y, stats)];
  const numbers = [...limits(attributes), attributes.halfScales as number];
  runParallel('clippedQuantizeForward', rows, Math.ceil(elementsPerChunk / size), [...places, size, ...numbers]);
  return [y, stats];
});

registerWasmKernel('ClippedQuantizeGrad', ({ inputs, attributes, output }) => {
  const { x, dy, stats, high, low } = inputs as Inputs;
  const [rows, size] = rowsOf(x);
  const [dx, dHigh, dLow] = [output(x.shape), output([rows]), output([rows])] as const;
  const places = [...pointers(x, dy, stats, high, low), sizeOf(high) > 1 ? 1 : 0, ...pointers(dx, dHigh, dLow)];
  runParallel('clippedQuantizeBackward', rows, Math.ceil(elementsPerChunk / size), [...places, size, ...limits(attributes)]);
  return [dx, dHigh, dLow];
});

function rowsOf(x: tf.TensorInfo): [rows: number, size: number] {
  const size = x.shape.at(-1)!;
  return [sizeOf(x) / size, size];
}

function limits(attributes: Record<string, unknown>): number[] {
  return [attributes.symmetric, attributes.divisor, attributes.lowest, attributes.highest] as number[];
}
