/** Kernels of training at sizes that take more than one workgroup, several turns of one, and every layout they have. */
import * as tf from '@tensorflow/tfjs-core';
import { causalAttention, clampRows, embedding, rmsNorm, rotaryEmbedding, rotaryTables, swiglu } from '../../ops/index.ts';
import type { GpuCheck } from '../check.ts';
import { opCheck } from '../op-check.ts';

export const trainingChecks: readonly GpuCheck[] = [
  ...[
    { rows: 9000, size: 12 },
    { rows: 70, size: 1028 },
    { rows: 5, size: 4100 },
    { rows: 33, size: 101 },
  ].map(({ rows, size }) =>
    opCheck({
      name: `rmsNorm [${rows}, ${size}]`,
      shapes: [[rows, size], [size]],
      op: (x, weight) => rmsNorm(x, weight as tf.Tensor1D),
      tolerance: 5e-5,
    }),
  ),
  opCheck({ name: 'swiglu [7, 333]', shapes: Array(2).fill([7, 333]) as number[][], op: swiglu }),
  opCheck({
    name: 'rotaryEmbedding [2, 70, 3, 12], offset 7',
    shapes: [[2, 70, 3, 12]],
    op: (x) => rotaryEmbedding(x as tf.Tensor4D, rotaryTables([1, 0.3, 0.1, 0.03, 0.01, 0.003], 77), { offset: 7 }),
  }),
  ...[
    { rows: 3, size: 2052 },
    { rows: 33, size: 101 },
  ].map(({ rows, size }) =>
    opCheck({
      name: `clampRows [${rows}, ${size}]`,
      shapes: [[rows, size], [rows], [rows]],
      op: (x, high, low) => clampRows(x as tf.Tensor2D, tf.sigmoid(high!) as tf.Tensor1D, tf.sigmoid(low!) as tf.Tensor1D),
    }),
  ),
  ...[
    { q: [1, 100, 4, 16], k: [1, 100, 2, 16], lengths: [1, 30, 65, 4] },
    { q: [2, 90, 4, 36], k: [2, 101, 1, 36] },
    { q: [3, 1, 2, 16], k: [3, 77, 2, 16] },
    { q: [1, 33, 2, 256], k: [1, 33, 1, 256] },
  ].map(({ q, k, lengths }) =>
    opCheck({
      name: `causalAttention [${q}] on [${k}]${lengths ? `, packed ${lengths.join(' ')}` : ''}`,
      shapes: [q, k, k],
      op: (...inputs) => causalAttention(...(inputs as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D]), { lengths }),
    }),
  ),
  ...[32, 7].map((size) =>
    opCheck({
      name: `embedding [90, ${size}], 700 places`,
      shapes: [[90, size]],
      op: (table) =>
        embedding(
          table as tf.Tensor2D,
          tf.tensor1d(
            Int32Array.from({ length: 700 }, (_, place) => (place % 3 === 0 ? 5 : (place * place) % 90)),
            'int32',
          ),
        ),
      tolerance: 5e-5,
    }),
  ),
];
