import * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, it, vi } from 'vitest';
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

  describe('with half products', () => {
    afterEach(async () => {
      vi.unstubAllEnvs();
      await selectBackend('tensorflow');
    });

    const choose = async (precision: string) => {
      vi.stubEnv('ROUNDOFF_PRODUCT_PRECISION', precision);
      return (await selectBackend('tensorflow')).device;
    };
    /** To the nearest bfloat16, ties to even. */
    const round = (value: number) => {
      const words = new Uint32Array(Float32Array.of(value).buffer);
      words[0] = (words[0]! + 0x7fff + ((words[0]! >> 16) & 1)) & 0xffff0000;
      return new Float32Array(words.buffer)[0]!;
    };
    const size = 512;
    const factors = () =>
      [tf.randomNormal([size, size], 0, 1, 'float32', 1), tf.randomNormal([size, size], 0, 1, 'float32', 2)] as tf.Tensor2D[];

    it.each([
      [false, false],
      [true, false],
      [false, true],
    ])('multiplies bfloat16 factors, transposed: %s, %s', async (transposeA, transposeB) => {
      expect(await choose('half')).toMatch(/^TensorFlow .* \(products in half precision\)$/);
      const [a, b] = factors();
      const before = tf.memory().numTensors;
      const product = tf.matMul(a!, b!, transposeA, transposeB);
      expect(tf.memory().numTensors).toBe(before + 1);
      const [left, right, values] = await Promise.all([a!.array(), b!.array(), (product as tf.Tensor2D).array()]);
      for (const [row, column] of [
        [0, 0],
        [17, 400],
        [511, 511],
      ] as const) {
        let sum = 0;
        let largest = 0;
        for (let k = 0; k < size; k++) {
          const term = round(transposeA ? left[k]![row]! : left[row]![k]!) * round(transposeB ? right[column]![k]! : right[k]![column]!);
          sum += term;
          largest = Math.max(largest, Math.abs(term));
        }
        expect(Math.abs(values[row]![column]! - sum)).toBeLessThanOrEqual(2 ** -8 * Math.abs(sum) + 1e-5 * largest * Math.sqrt(size));
      }
    });

    it('leaves small products and everything else as they are, and all products where it is not chosen', async () => {
      await choose('half');
      const [a, b] = factors();
      const small = tf.slice2d(a!, [0, 0], [64, size]);
      const rounded = tf.matMul(small, b!);
      const half = tf.matMul(a!, b!);
      await choose('exact');
      expect(await rounded.data()).toEqual(await tf.matMul(small, b!).data());
      expect(await half.data()).not.toEqual(await tf.matMul(a!, b!).data());
    });

    it('refuses another choice', async () => {
      await expect(choose('double')).rejects.toThrow(/ROUNDOFF_PRODUCT_PRECISION is "double"/);
      vi.unstubAllEnvs();
    });
  });
});
