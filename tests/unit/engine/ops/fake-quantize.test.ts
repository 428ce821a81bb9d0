import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { fakeQuantizeReference } from '../../../../src-main/engine/ops/fake-quantize/reference.ts';
import { codeRange, fakeQuantize, type Grid, gridParameters } from '../../../../src-main/engine/ops/index.ts';
import { expectClose, normals, testBackends } from './op-check.ts';

const worked = [-1, -0.4, 0.1, 0.55, 0.9];
const row = (values: number[]) => tf.tensor2d(values, [1, values.length]);

describe.each(testBackends)('fakeQuantize on %s', (backend) => {
  it.each([
    { form: 'symmetric', sign: 1, expected: [-1, -1 / 3, 0, 2 / 3, 1] },
    // Mirrored: −1 lies exactly between two codes here.
    { form: 'shifted', sign: -1, expected: [6 / 7, 2 / 7, 0, -4 / 7, -6 / 7] },
    { form: 'asymmetric', sign: 1, expected: [-1.0857142, -0.2714286, 0, 0.5428571, 0.8142857] },
  ] as const)('gives the worked example of the $form grid with 3 bits', async ({ form, sign, expected }) => {
    await selectBackend(backend);
    await expectClose(fakeQuantize(row(worked.map((w) => sign * w)), { bits: 3, form, groupSize: null }), expected, 1e-6, form);
  });

  it('widens the asymmetric range to zero and keeps rows of zeros at zero', async () => {
    await selectBackend(backend);
    await expectClose(
      fakeQuantize(row([2, 2.5, 3]), { bits: 3, form: 'asymmetric', groupSize: null }),
      [15 / 7, 18 / 7, 3],
      1e-6,
      'positive',
    );
    for (const form of ['symmetric', 'shifted', 'asymmetric'] as const) {
      const value = await fakeQuantize(tf.zeros([2, 4]), { bits: 4, form, groupSize: 2 }).data();
      expect([...value].every((v) => Math.abs(v) < 0.1)).toBe(true);
    }
  });

  it('rounds half to even', async () => {
    await selectBackend(backend);
    const parameters = { scale: tf.tensor2d([[1]]), zeroPoint: tf.tensor2d([[0]]) };
    const value = fakeQuantize(row([0.5, 1.5, 2.5, -0.5, -1.5]), { bits: 8, form: 'symmetric', groupSize: null }, { parameters });
    await expectClose(value, [0, 2, 2, 0, -2], 0, 'halves');
  });

  it('passes the gradient only where the unrounded code is in range', async () => {
    await selectBackend(backend);
    const grid: Grid = { bits: 3, form: 'symmetric', groupSize: null };
    const parameters = { scale: tf.tensor2d([[1 / 3]]), zeroPoint: tf.tensor2d([[0]]) };
    const gradient = tf.grad((w: tf.Tensor) => tf.sum(tf.mul(fakeQuantize(w as tf.Tensor2D, grid, { parameters }), 5)));
    await expectClose(gradient(row([-1.6, -1.2, 0.2, 0.999, 1.01])), [0, 5, 5, 5, 0], 0, 'mask');
  });

  it('masks by the unrounded code of the asymmetric grid too, zero point included', async () => {
    await selectBackend(backend);
    const grid: Grid = { bits: 3, form: 'asymmetric', groupSize: null };
    const parameters = { scale: tf.tensor2d([[0.27143]]), zeroPoint: tf.tensor2d([[4]]) };
    const gradient = tf.grad((w: tf.Tensor) => tf.sum(tf.mul(fakeQuantize(w as tf.Tensor2D, grid, { parameters }), 5)));
    // Codes −.42, .02, 4.4, 6.98 and 7.32: the outer two round into the range, but lie outside it.
    await expectClose(gradient(row([-1.2, -1.08, 0.1, 0.81, 0.9])), [0, 5, 5, 5, 0], 0, 'mask');
  });

  it.each(['symmetric', 'shifted', 'asymmetric'] as const)('equals the composed form bit for bit on the %s grid', async (form) => {
    await selectBackend(backend);
    const weight = tf.tensor2d(Float32Array.from(normals(6 * 18, 5)), [6, 18]);
    for (const [bits, groupSize] of [
      [2, 6],
      [3, 9],
      [4, null],
      [8, 3],
    ] as const) {
      const grid: Grid = { bits, form, groupSize };
      const { scale, zeroPoint } = gridParameters(weight, grid);
      const { value, inside } = fakeQuantizeReference(weight, scale, zeroPoint, codeRange(grid));
      await expectClose(fakeQuantize(weight, grid), await value.data(), 0, `${bits} bits`);
      const gradient = tf.grad((w: tf.Tensor) => tf.sum(fakeQuantize(w as tf.Tensor2D, grid)))(weight);
      await expectClose(gradient, await inside.data(), 0, `mask of ${bits} bits`);
      const error = await tf.max(tf.abs(tf.sub(value, weight))).data();
      const largestScale = await tf.max(scale).data();
      expect(error[0]!).toBeLessThanOrEqual(largestScale[0]! * 1.5);
    }
  });
});

describe('fakeQuantize', () => {
  it('refuses a group size that does not divide and widths it has no codes for', async () => {
    await selectBackend('wasm');
    const weight = tf.zeros([2, 10]) as tf.Tensor2D;
    expect(() => fakeQuantize(weight, { bits: 4, form: 'asymmetric', groupSize: 4 })).toThrow('group size 4 does not divide the 10 inputs');
    expect(() => fakeQuantize(weight, { bits: 9, form: 'asymmetric', groupSize: null })).toThrow('9 bits');
  });

  it('leaves no tensors behind', async () => {
    await selectBackend('wasm');
    const weight = tf.randomNormal([4, 8], 0, 1, 'float32', 1) as tf.Tensor2D;
    const before = tf.memory().numTensors;
    const grad = tf.grad((w: tf.Tensor) => tf.sum(fakeQuantize(w as tf.Tensor2D, { bits: 4, form: 'asymmetric', groupSize: 4 })));
    tf.dispose([grad(weight), fakeQuantize(weight, { bits: 4, form: 'shifted', groupSize: null })]);
    expect(tf.memory().numTensors).toBe(before);
  });
});
