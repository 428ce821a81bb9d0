/** Checks of ops of the tensor layer: value and gradients on webgpu against the composed form on the untouched cpu backend. */
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { deviation, type GpuCheck, normals } from './check.ts';

export interface OpCheck {
  name: string;
  /** Shapes of the inputs that gradients are taken of; their values are standard normal. */
  shapes: number[][];
  op(...inputs: tf.Tensor[]): tf.Tensor;
  /** The composed form; the op itself where it falls back to that on a backend without kernels. */
  reference?(...inputs: tf.Tensor[]): tf.Tensor;
  /** Default 2e-5. */
  tolerance?: number;
}

export function opCheck({ name, shapes, op, reference = op, tolerance = 2e-5 }: OpCheck): GpuCheck {
  const inputs = shapes.map((shape, index) => normals(tf.util.sizeFromShape(shape), index));
  return {
    name,
    run: async () => {
      const actual = await evaluate('webgpu', op, inputs, shapes);
      const expected = await evaluate('cpu', reference, inputs, shapes);
      await tf.setBackend('webgpu');
      const errors = expected.map((values, index) => deviation(actual[index]!, values));
      return { maxError: Math.max(...errors), tolerance };
    },
  };
}

/** The value, then the gradients of its sum weighted by fixed normal values. */
async function evaluate(
  backend: 'webgpu' | 'cpu',
  form: (...inputs: tf.Tensor[]) => tf.Tensor,
  inputs: Float32Array[],
  shapes: number[][],
): Promise<Float32Array[]> {
  await tf.setBackend(backend);
  const results = tf.tidy(() => {
    const tensors = inputs.map((values, index) => tf.tensor(values, shapes[index]));
    const value = form(...tensors);
    const direction = tf.tensor(normals(value.size, inputs.length), value.shape);
    return [value, ...tf.grads((...xs: tf.Tensor[]) => tf.sum(tf.mul(form(...xs), direction)))(tensors)];
  });
  try {
    return (await Promise.all(results.map((tensor) => tensor.data()))) as Float32Array[];
  } finally {
    tf.dispose(results);
  }
}
