/** Fake quantization on the wasm backend; the gradient's mask is recomputed instead of kept. */
import type * as tf from '@tensorflow/tfjs-core';
import { kernels } from '../../backends/wasm/kernel-module.ts';
import { pointers, registerWasmKernel, sizeOf } from '../kernel.ts';

type Inputs = Record<'weight' | 'scale' | 'zeroPoint' | 'dy', tf.TensorInfo>;

registerWasmKernel('FakeQuantize', ({ inputs, attributes, output }) => {
  const { weight, scale, zeroPoint } = inputs as Inputs;
  const { lowest, highest } = attributes as { lowest: number; highest: number };
  const y = output(weight.shape);
  const groups = sizeOf(scale);
  kernels().fakeQuantizeForward(...pointers(weight, scale, zeroPoint, y), groups, sizeOf(weight) / groups, lowest, highest);
  return [y];
});

registerWasmKernel('FakeQuantizeGrad', ({ inputs, attributes, output }) => {
  const { weight, scale, zeroPoint, dy } = inputs as Inputs;
  const { lowest, highest } = attributes as { lowest: number; highest: number };
  const dWeight = output(weight.shape);
  const groups = sizeOf(scale);
  kernels().fakeQuantizeBackward(...pointers(weight, scale, zeroPoint, dy, dWeight), groups, sizeOf(weight) / groups, lowest, highest);
  return [dWeight];
});
