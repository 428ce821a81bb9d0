import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { InputStatistics } from '../../../../src-main/engine/quantizers/input-statistics.ts';
import { casesFor, testBackends } from '../ops/op-check.ts';
import { hessianOf, normals, outputErrorOf } from './matrices.ts';

describe.each(testBackends)('InputStatistics on %s', (backend) => {
  beforeAll(() => selectBackend(backend));

  it.each(casesFor(backend, [5, 1, 768, 800, 1540]))(
    'of %d inputs gives the Hessian and the mean squared output of all batches',
    async (n) => {
      const tensors = tf.memory().numTensors;
      const inputs = normals(7 * n, n);
      const statistics = new InputStatistics();
      for (const [first, last] of [
        [0, 4],
        [4, 7],
      ] as const) {
        const batch = tf.tensor2d(Float32Array.from(inputs.subarray(first * n, last * n)), [last - first, n]);
        statistics.add(batch);
        batch.dispose();
      }
      const [hessian, expected] = [await statistics.hessian(), hessianOf(inputs, n)];
      let worst = 0;
      for (let i = 0; i < expected.length; i++) worst = Math.max(worst, Math.abs(hessian[i]! - expected[i]!));
      expect(worst).toBeLessThan(1e-5);
      const delta = Float32Array.from(normals(3 * n, 1), (value) => value / 8);
      const error = outputErrorOf(inputs, delta, new Float32Array(3 * n), n);
      expect((await statistics.meanSquaredOutput(delta)) / error).toBeCloseTo(1, 4);
      statistics.dispose();
      expect(tf.memory().numTensors).toBe(tensors);
    },
  );

  it('is as exact after many rows as after few', async () => {
    const [n, batches, rows] = [6, 8, 2500];
    const values = Float32Array.from(normals(batches * rows * n, 3), (value) => value + 1);
    const statistics = new InputStatistics();
    for (let batch = 0; batch < batches; batch++) {
      const part = tf.tensor2d(values.subarray(batch * rows * n, (batch + 1) * rows * n), [rows, n]);
      statistics.add(part);
      part.dispose();
    }
    const [hessian, expected] = [await statistics.hessian(), hessianOf(values, n)];
    const worst = Math.max(...expected.map((value, place) => Math.abs(hessian[place]! / value - 1)));
    expect(worst).toBeLessThan(backend === 'webgpu' ? 4e-7 : 1e-6);
    statistics.dispose();
  });

  it('says so when nothing has been added', async () => {
    await expect(new InputStatistics().hessian()).rejects.toThrow('no calibration input');
  });
});
