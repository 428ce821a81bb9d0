import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { dropoutMask } from '../../../../src-main/engine/ops/dropout/reference.ts';
import { dropout, dropoutLinear } from '../../../../src-main/engine/ops/index.ts';
import { checkOp, testBackends } from './op-check.ts';

/** A row, or its product with another. */
function row(values: Float64Array, index: number, size: number, other?: Float64Array): Float64Array {
  const own = values.subarray(index * size, (index + 1) * size);
  return other ? Float64Array.of(own.reduce((sum, value, i) => sum + value * other[i]!, 0)) : own;
}

describe.each(testBackends)('dropout on %s', (backend) => {
  it('drops by seed and place alone, the same elements forwards, backwards and on every backend', async () => {
    await selectBackend(backend);
    const before = tf.memory().numTensors;
    const count = 3 * 33_335;
    const x = tf.ones([3, 33_335]);
    for (const seed of [0, 7, 2 ** 32 - 1]) {
      const settings = { rate: 0.3, seed };
      const mask = dropoutMask(count, { seed, threshold: Math.floor(0.3 * 2 ** 32), factor: 1 / 0.7 });
      const y = dropout(x, settings);
      const dx = tf.grad((value: tf.Tensor) => tf.sum(tf.mul(dropout(value, settings), 2)))(x);
      expect(Buffer.from((await y.data()).slice().buffer).equals(Buffer.from(mask.buffer))).toBe(true);
      const gradient = await dx.data();
      expect(gradient.every((value, index) => Math.abs(value - 2 * mask[index]!) < 1e-6)).toBe(true);
      const kept = mask.filter((value) => value > 0).length / count;
      expect(Math.abs(kept - 0.7)).toBeLessThan(0.005);
      tf.dispose([y, dx]);
    }
    x.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('before a linear, drops the same elements once more in the backward pass', async () => {
    await selectBackend(backend);
    const settings = { rate: 0.4, seed: 9 };
    const mask = dropoutMask(6 * 8, { seed: 9, threshold: Math.floor(0.4 * 2 ** 32), factor: 1 / 0.6 });
    const dropped = (x: Float64Array) => x.map((value, i) => value * mask[i]!);
    await checkOp(backend, {
      shapes: [
        [6, 8],
        [3, 8],
      ],
      exact: (x, w) => Float64Array.from({ length: 18 }, (_, i) => row(dropped(x), Math.floor(i / 3), 8, row(w, i % 3, 8))[0]!),
      forms: { dropoutLinear: (x, w) => dropoutLinear(x, w, settings) },
    });
  });

  it('gives independent patterns for different seeds, and leaves the input alone at rate 0', async () => {
    await selectBackend(backend);
    const masks = [1, 2].map((seed) => dropoutMask(100_000, { seed, threshold: 2 ** 31, factor: 1 }));
    const both = masks[0]!.filter((value, index) => value * masks[1]![index]! > 0).length / 100_000;
    expect(Math.abs(both - 0.25)).toBeLessThan(0.005);
    const x = tf.ones([4]);
    expect(dropout(x, { rate: 0, seed: 1 })).toBe(x);
  });
});
