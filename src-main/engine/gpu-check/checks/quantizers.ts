/** Checks of quantizers' kernels with rows of every length that they share out differently, and of Kronecker products by large factors. */
import * as tf from '@tensorflow/tfjs-core';
import { clippedQuantize, fakeQuantize, kronecker, quantizeTokens } from '../../ops/index.ts';
import type { GpuCheck } from '../check.ts';
import { opCheck } from '../op-check.ts';

const token = { bits: 4, symmetric: false, clipHigh: 0.9, clipLow: 0.95, outlierThreshold: 2.5 };

export const quantizerChecks: readonly GpuCheck[] = [
  ...[120, 513, 4100].flatMap((size) => [
    opCheck({ name: `quantizeTokens, 4 bits, outliers kept [3, ${size}]`, shapes: [[3, size]], op: (x) => quantizeTokens(x, token) }),
    opCheck({
      name: `clippedQuantize, 3 bits, half scales [3, ${size}]`,
      shapes: [[3, size], [1], [1]],
      op: (x, high, low) => clippedQuantize(x, { bits: 3, symmetric: true, halfScales: true }, { high: share(high!), low: share(low!) }),
    }),
    ...(size === 120 ? (['symmetric', 'shifted', 'asymmetric'] as const) : (['asymmetric'] as const)).map((form) =>
      opCheck({
        name: `fakeQuantize W4 ${form} [3, ${size}]`,
        shapes: [[3, size]],
        op: (weight) => fakeQuantize(weight as tf.Tensor2D, { bits: 4, form, groupSize: null }),
      }),
    ),
  ]),
  ...[
    [24, 64],
    [64, 64],
  ].map(([n1, n2]) =>
    opCheck({
      name: `kronecker [10, ${n1! * n2!}] by ${n1} and ${n2}`,
      shapes: [
        [10, n1! * n2!],
        [n1!, n1!],
        [n2!, n2!],
      ],
      op: (...inputs) => kronecker(...(inputs as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D])),
      tolerance: 1e-4,
    }),
  ),
];

/** Factors between 0 and 1 from free values. */
function share(free: tf.Tensor): tf.Tensor1D {
  return tf.sigmoid(free) as tf.Tensor1D;
}
