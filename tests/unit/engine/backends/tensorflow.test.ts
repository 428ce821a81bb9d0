import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { testBackends } from '../ops/op-check.ts';

describe.runIf(testBackends.includes('tensorflow'))('tensorflow', () => {
  it('gathers rows and columns, one by one or in batches', async () => {
    await selectBackend('tensorflow');
    const before = tf.memory().numTensors;
    const x = tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3]);
    const indices = tf.tensor2d([2, 0, 1, 1], [2, 2], 'int32');
    const [rows, columns, batched] = [tf.gather(x, tf.tensor1d([1, 1, 0], 'int32')), tf.gather(x, indices, 1), tf.gather(x, indices, 1, 1)];
    expect(await rows.array()).toEqual([
      [4, 5, 6],
      [4, 5, 6],
      [1, 2, 3],
    ]);
    expect(columns.shape).toEqual([2, 2, 2]);
    expect(await columns.data()).toEqual(Float32Array.of(3, 1, 2, 2, 6, 4, 5, 5));
    expect(await batched.data()).toEqual(Float32Array.of(3, 1, 5, 5));
    expect(() => tf.gather(x, tf.tensor1d([7], 'int32'))).toThrow('7');
    expect(tf.memory().numTensors - before).toBeLessThanOrEqual(8);
  });

  it('shares its tensor layer with the other backends, and goes back and forth', async () => {
    await selectBackend('tensorflow');
    const squares = tf.square(tf.tensor1d([1, 2, 3]));
    await selectBackend('wasm');
    expect(await tf.add(squares, 1).data()).toEqual(Float32Array.of(2, 5, 10));
    await selectBackend('tensorflow');
    expect(await tf.mul(squares, 2).data()).toEqual(Float32Array.of(2, 8, 18));
  });

  it('keeps gradients that hold on every backend', async () => {
    await selectBackend('tensorflow');
    const dx = tf.grad((x) => tf.sum(tf.matMul(x as tf.Tensor2D, x as tf.Tensor2D, true)))(tf.tensor2d([1, 2, 3, 4], [2, 2]));
    expect(await dx.data()).toEqual(Float32Array.of(6, 6, 14, 14));
  });
});
