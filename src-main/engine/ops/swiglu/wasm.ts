/** SwiGLU on the wasm backend. The backward pass recomputes the sigmoid instead of keeping it. */
import type * as tf from '@tensorflow/tfjs-core';
import { kernels } from '../../backends/wasm/kernel-module.ts';
import { pointers, registerWasmKernel, sizeOf } from '../kernel.ts';

registerWasmKernel('Swiglu', ({ inputs, output }) => {
  const { gate, up } = inputs as { gate: tf.TensorInfo; up: tf.TensorInfo };
  const y = output(gate.shape);
  kernels().swigluForward(...pointers(gate, up, y), sizeOf(gate));
  return [y];
});

registerWasmKernel('SwigluGrad', ({ inputs, output }) => {
  const { gate, up, dy } = inputs as { gate: tf.TensorInfo; up: tf.TensorInfo; dy: tf.TensorInfo };
  const dGate = output(gate.shape);
  const dUp = output(gate.shape);
  kernels().swigluBackward(...pointers(gate, up, dy, dGate, dUp), sizeOf(gate));
  return [dGate, dUp];
});
