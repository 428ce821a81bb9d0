import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { adamW, clipByGlobalNorm, createMoments, globalNorm } from '../../../../src-main/engine/ops/index.ts';
import { expectClose, normals, testBackends } from './op-check.ts';

/** Algorithm 2 of the paper in double precision, `steps` updates with the same gradient each time. */
function exactAdamW(start: Float64Array, gradients: Float64Array[], lr: number, decay: number, gradientScale: number): Float64Array {
  const w = start.slice();
  const m = new Float64Array(w.length);
  const v = new Float64Array(w.length);
  gradients.forEach((gradient, index) => {
    const t = index + 1;
    for (let i = 0; i < w.length; i++) {
      const g = gradient[i]! * gradientScale;
      m[i] = 0.9 * m[i]! + 0.1 * g;
      v[i] = 0.95 * v[i]! + 0.05 * g * g;
      const step = m[i]! / (1 - 0.9 ** t) / (Math.sqrt(v[i]! / (1 - 0.95 ** t)) + 1e-8);
      w[i] = w[i]! * (1 - lr * decay) - lr * step;
    }
  });
  return w;
}

describe.each(testBackends)('adamW on %s', (backend) => {
  it.each([4, 7, 130])('follows the algorithm over several steps for %i parameters', async (count) => {
    await selectBackend(backend);
    const start = normals(count, 1);
    const gradients = [2, 3, 4].map((seed) => normals(count, seed));
    const parameter = tf.variable(tf.tensor1d(Float32Array.from(start)));
    const moments = createMoments(parameter);
    const gradientScale = tf.scalar(0.5);
    const tensors = tf.memory().numTensors;
    for (const [index, values] of gradients.entries()) {
      const gradient = tf.tensor1d(Float32Array.from(values));
      adamW(parameter, gradient, moments, { learningRate: 0.01, step: index + 1, beta2: 0.95, weightDecay: 0.1, gradientScale });
      gradient.dispose();
    }
    expect(tf.memory().numTensors).toBe(tensors);
    await expectClose(parameter, exactAdamW(start, gradients, 0.01, 0.1, 0.5), 1e-6, 'parameter');
    tf.dispose([parameter, moments.mean, moments.square, gradientScale]);
  });

  it('clips by the norm over all gradients', async () => {
    await selectBackend(backend);
    const gradients = [tf.tensor1d([3, 0, 0, 0, 0]), tf.tensor2d([[0, 4]])];
    await expectClose(globalNorm(gradients), [5], 1e-6, 'norm');
    const clipped = clipByGlobalNorm(gradients, 1);
    await expectClose(clipped.norm, [5], 1e-6, 'norm');
    await expectClose(clipped.scale, [0.2], 1e-6, 'scale');
    await expectClose(clipByGlobalNorm(gradients, 10).scale, [1], 0, 'scale when below the limit');
    const many = Array.from({ length: 100 }, () => tf.ones([4]));
    const uneven = [tf.ones([3, 5]), tf.ones([40_000]), tf.ones([1])];
    await expectClose(globalNorm(uneven), [Math.sqrt(40_016)], 1e-6, 'norm over sizes of every kind');
    await expectClose(globalNorm(many), [20], 1e-6, 'norm over as many gradients as a model has');
  });
});
