import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { expectClose, normals, testBackends } from '../ops/op-check.ts';

/** NumPy's rule, one element at a time. */
function exactMatMul(a: Float64Array, aShape: number[], b: Float64Array, bShape: number[], transA: boolean, transB: boolean): Float64Array {
  const rank = Math.max(aShape.length, bShape.length);
  const pad = (shape: number[]) => [...Array<number>(rank - shape.length).fill(1), ...shape];
  const [as, bs] = [pad(aShape), pad(bShape)];
  const [m, k] = transA ? [as[rank - 1]!, as[rank - 2]!] : [as[rank - 2]!, as[rank - 1]!];
  const n = transB ? bs[rank - 2]! : bs[rank - 1]!;
  const batchShape = as.slice(0, -2).map((size, axis) => Math.max(size, bs[axis]!));
  const batch = batchShape.reduce((total, size) => total * size, 1);
  const out = new Float64Array(batch * m * n);
  for (let index = 0; index < batch; index++) {
    const coordinates = batchShape.map((size, axis) => Math.floor(index / batchShape.slice(axis + 1).reduce((t, s) => t * s, 1)) % size);
    const offset = (shape: number[]) =>
      coordinates.reduce((at, coordinate, axis) => at * shape[axis]! + (shape[axis] === 1 ? 0 : coordinate), 0);
    const [aStart, bStart] = [offset(as) * m * k, offset(bs) * k * n];
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        for (let p = 0; p < k; p++) {
          out[(index * m + i) * n + j]! += a[aStart + (transA ? p * m + i : i * k + p)]! * b[bStart + (transB ? j * k + p : p * n + j)]!;
        }
      }
    }
  }
  return out;
}

const batches: [number[], number[]][] = [
  [[], []],
  [[3], [3]],
  [[3], []],
  [[], [3]],
  [[3], [1]],
  [[1], [3]],
  [
    [2, 1],
    [2, 4],
  ],
  [
    [2, 4],
    [2, 1],
  ],
  [
    [1, 4],
    [2, 4],
  ],
  [
    [2, 1],
    [1, 4],
  ],
  [[4], [2, 4]],
  [
    [2, 1, 3],
    [2, 5, 1],
  ],
  [
    [2, 1, 3, 1],
    [1, 2, 1, 2],
  ],
];

describe.each(testBackends)('tf.matMul on %s', (backend) => {
  beforeAll(async () => {
    await selectBackend(backend);
  });

  it.each(batches)('broadcasts batch %j against %j in all transposes', async (batchA, batchB) => {
    const [m, k, n] = [3, 5, 4];
    for (const [transA, transB] of [
      [false, false],
      [false, true],
      [true, false],
      [true, true],
    ] as const) {
      const aShape = [...batchA, ...(transA ? [k, m] : [m, k])];
      const bShape = [...batchB, ...(transB ? [n, k] : [k, n])];
      const a = normals(tf.util.sizeFromShape(aShape), 1);
      const b = normals(tf.util.sizeFromShape(bShape), 2);
      const product = tf.matMul(tf.tensor(Float32Array.from(a), aShape), tf.tensor(Float32Array.from(b), bShape), transA, transB);
      await expectClose(product, exactMatMul(a, aShape, b, bShape, transA, transB), 1e-6, `[${aShape}] × [${bShape}]`);
    }
  });

  it('gets the case the stock kernel gets wrong', async () => {
    const ones = tf.tensor4d([1, 10], [2, 1, 1, 1]);
    const product = tf.matMul(ones, tf.ones([2, 4, 1, 1]));
    expect([...(await product.data())]).toEqual([1, 1, 1, 1, 10, 10, 10, 10]);
  });

  it('handles empty operands and refuses what it cannot multiply', async () => {
    expect(tf.matMul(tf.zeros([0, 3]), tf.zeros([3, 2])).shape).toEqual([0, 2]);
    expect([...(await tf.matMul(tf.zeros([2, 0]), tf.zeros([0, 2])).data())]).toEqual([0, 0, 0, 0]);
    // TensorFlow multiplies with its own kernels and has its own words.
    const refusal = backend === 'tensorflow' ? 'Matrix size-incompatible' : 'inner sizes 3 and 4';
    expect(() => tf.matMul(tf.zeros([2, 3]), tf.zeros([4, 2]))).toThrow(refusal);
    if (backend === 'tensorflow') return;
    expect(() => tf.matMul(tf.zeros([2, 2], 'int32'), tf.zeros([2, 2], 'int32'))).toThrow('int32');
  });
});
