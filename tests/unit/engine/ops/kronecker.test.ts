import * as tf from '@tensorflow/tfjs-core';
import { describe, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { kronecker } from '../../../../src-main/engine/ops/index.ts';
import { kroneckerReference } from '../../../../src-main/engine/ops/kronecker/reference.ts';
import { checkOp, expectClose, testBackends } from './op-check.ts';

/** x · (left ⊗ right) with the product written out. */
function exactKronecker(n1: number, n2: number) {
  return (x: Float64Array, left: Float64Array | null, right: Float64Array | null) => {
    const entry = (matrix: Float64Array | null, size: number, i: number, j: number) => (matrix ? matrix[i * size + j]! : Number(i === j));
    return x.map((_, place) => {
      const start = place - (place % (n1 * n2));
      const [b, d] = [Math.floor((place - start) / n2), place % n2];
      let sum = 0;
      for (let a = 0; a < n1; a++)
        for (let c = 0; c < n2; c++) sum += x[start + a * n2 + c]! * entry(left, n1, a, b) * entry(right, n2, c, d);
      return sum;
    });
  };
}

describe.each(testBackends)('kronecker on %s', (backend) => {
  it.each([
    { rows: 3, n1: 2, n2: 4 },
    { rows: 70, n1: 3, n2: 4 },
    { rows: 5, n1: 8, n2: 12 },
    { rows: 4, n1: 5, n2: 6 },
    { rows: 2, n1: 1, n2: 4 },
  ])('multiplies $rows rows of $n1 · $n2', async ({ rows, n1, n2 }) => {
    const x = [rows, n1 * n2];
    const exact = exactKronecker(n1, n2);
    await checkOp(backend, {
      shapes: [x, [n1, n1], [n2, n2]],
      exact,
      forms: backend === 'wasm' ? { kronecker, reference: kroneckerReference } : { kronecker },
      tolerance: 5e-5,
    });
    await checkOp(backend, {
      shapes: [x, [n1, n1]],
      exact: (values, left) => exact(values!, left!, null),
      forms: { left: (values, left) => kronecker(values, left, null) },
      tolerance: 5e-5,
    });
    await checkOp(backend, {
      shapes: [x, [n2, n2]],
      exact: (values, right) => exact(values!, null, right!),
      forms: { right: (values, right) => kronecker(values, null, right) },
      tolerance: 5e-5,
    });
  });

  it('gives the worked example P1ᵀ · X · P2', async () => {
    await selectBackend(backend);
    const left = tf.tensor2d([
      [1, 2],
      [0, 1],
    ]);
    const right = tf.tensor2d([
      [0, 1, 0, 0],
      [1, 0, 0, 0],
      [0, 0, 2, 0],
      [0, 0, 0, 1],
    ]);
    const x = tf.tensor2d([[1, 2, 3, 4, 5, 6, 7, 8]]);
    await expectClose(kronecker(x, left, right), [2, 1, 6, 4, 2 * 2 + 6, 2 * 1 + 5, 2 * 6 + 14, 2 * 4 + 8], 0, 'worked example');
  });
});
