import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { clampRowsReference } from '../../../../src-main/engine/ops/clamp-rows/reference.ts';
import { clippedQuantizeReference } from '../../../../src-main/engine/ops/clipped-quantize/reference.ts';
import { type ClippedGrid, clampRows, clippedQuantize, quantizeTokens } from '../../../../src-main/engine/ops/index.ts';
import { checkOp, expectClose, normals, testBackends } from './op-check.ts';

/** Factors between 0.6 and 0.9 out of normal values, in whichever precision. */
const factor = (value: number) => 0.75 + 0.15 * Math.tanh(value);
const factors = (x: tf.Tensor1D) => tf.add(0.75, tf.mul(0.15, tf.tanh(x))) as tf.Tensor1D;

/** Fake quantization in double precision. What rounding and clipping did at the first call is kept, so that differences see straight through. */
function exactQuantize(size: number, { bits, symmetric }: ClippedGrid) {
  let kept: { inside: boolean; shift: number; zero: number }[] | null = null;
  return (x: Float64Array, high: Float64Array, low: Float64Array) => {
    const now: typeof kept = [];
    const result = x.map((value, place) => {
      const rowIndex = Math.floor(place / size);
      const row = x.subarray(rowIndex * size, (rowIndex + 1) * size);
      const hi = Math.max(0, ...row) * factor(high[high.length > 1 ? rowIndex : 0]!);
      const lo = Math.min(0, ...row) * factor(low[low.length > 1 ? rowIndex : 0]!);
      const half = 2 ** (bits - 1);
      const scale = symmetric ? Math.max(hi, -lo) / (half - 1) : (hi - lo) / (2 ** bits - 1);
      const [lowest, highest] = symmetric ? [-half, half - 1] : [0, 2 ** bits - 1];
      const zero = kept?.[place]?.zero ?? (symmetric ? 0 : Math.round(-lo / scale));
      const code = Math.round(value / scale) + zero;
      const clipped = Math.max(lowest, Math.min(highest, code));
      const state = kept?.[place] ?? { inside: code === clipped, shift: clipped - (code === clipped ? value / scale : 0), zero };
      now.push(state);
      return scale * (state.shift + (state.inside ? value / scale : 0) - zero);
    });
    kept ??= now;
    return result;
  };
}

function exactClamp(size: number) {
  return (x: Float64Array, high: Float64Array, low: Float64Array) =>
    x.map((value, place) => {
      const rowIndex = Math.floor(place / size);
      const row = x.subarray(rowIndex * size, (rowIndex + 1) * size);
      return Math.min(Math.max(value, Math.min(...row) * factor(low[rowIndex]!)), Math.max(...row) * factor(high[rowIndex]!));
    });
}

describe.each(testBackends)('clippedQuantize on %s', (backend) => {
  it.each([
    { shape: [3, 10], bits: 3, symmetric: false, perRow: false },
    { shape: [5, 8], bits: 4, symmetric: true, perRow: true },
    { shape: [2, 3, 7], bits: 2, symmetric: false, perRow: true },
    { shape: [4, 3], bits: 4, symmetric: true, perRow: false },
  ])('rounds rows of $shape to $bits bits and learns through the scale ($symmetric, $perRow)', async ({ shape, perRow, ...grid }) => {
    const count = perRow ? shape.slice(0, -1).reduce((a, b) => a * b) : 1;
    const limits = grid.symmetric
      ? { symmetric: true, divisor: 2 ** (grid.bits - 1) - 1, lowest: -(2 ** (grid.bits - 1)), highest: 2 ** (grid.bits - 1) - 1 }
      : { symmetric: false, divisor: 2 ** grid.bits - 1, lowest: 0, highest: 2 ** grid.bits - 1 };
    await checkOp(backend, {
      shapes: [shape, [count], [count]],
      exact: exactQuantize(shape.at(-1)!, grid),
      forms: { clippedQuantize: (x, high, low) => clippedQuantize(x, grid, { high: factors(high), low: factors(low) }) },
      tolerance: 5e-5,
    });
    const x = tf.tensor(Float32Array.from(normals(tf.util.sizeFromShape(shape), 3)), shape);
    const range = { high: tf.fill([count], 0.8) as tf.Tensor1D, low: tf.fill([count], 0.7) as tf.Tensor1D };
    await expectClose(clippedQuantize(x, grid, range), await clippedQuantizeReference(x, range, limits).data(), 0, 'the composed form');
    const { high, low } = range;
    const quantizer = { ...grid, clipHigh: (await high.data())[0]!, clipLow: (await low.data())[0]!, outlierThreshold: null };
    await expectClose(clippedQuantize(x, grid, range), await quantizeTokens(x, quantizer).data(), 0, 'what inference computes');
  });

  it('keeps rows of zeros, with no gradient through their scale', async () => {
    await selectBackend(backend);
    const zeros = tf.zeros([2, 5]);
    const gradient = tf.grad((x: tf.Tensor) => tf.sum(clippedQuantize(x, { bits: 4, symmetric: false })))(zeros);
    await expectClose(clippedQuantize(zeros, { bits: 4, symmetric: true }), new Float32Array(10), 0, 'zeros');
    await expectClose(gradient, new Float32Array(10).fill(1), 0, 'gradient');
  });
});

describe.each(testBackends)('clampRows on %s', (backend) => {
  it.each([
    [6, 11],
    [3, 8],
    [4, 2],
  ])('clamps [%i, %i] to a share of each row', async (rows, size) => {
    await checkOp(backend, {
      shapes: [[rows, size], [rows], [rows]],
      exact: exactClamp(size),
      forms: {
        clampRows: (x, high, low) => clampRows(x, factors(high), factors(low)),
      },
    });
    const x = tf.tensor2d(Float32Array.from(normals(rows * size, 3)), [rows, size]);
    const [high, low] = [tf.fill([rows], 0.8), tf.fill([rows], 0.7)] as [tf.Tensor1D, tf.Tensor1D];
    await expectClose(clampRows(x, high, low), await clampRowsReference(x, high, low).data(), 0, 'the composed form');
  });

  it('leaves rows alone whose bound lies outside their range', async () => {
    await selectBackend(backend);
    const half = tf.fill([2], 0.5) as tf.Tensor1D;
    // All positive: the lower bound is below every value. All negative: the upper bound is above.
    await expectClose(
      clampRows(
        tf.tensor2d([
          [4, 2, 1],
          [-4, -2, -1],
        ]),
        half,
        half,
      ),
      [2, 2, 1, -2, -2, -1],
      0,
      'one-sided rows',
    );
  });

  it('shares the gradient of a bound among equal extremes', async () => {
    await selectBackend(backend);
    const factors = [tf.tensor1d([0.5]), tf.tensor1d([1])] as const;
    const gradient = tf.grad((x: tf.Tensor) => tf.sum(clampRows(x as tf.Tensor2D, ...factors)))(tf.tensor2d([[4, 4, -1, 1]]));
    await expectClose(gradient, [0.5, 0.5, 1, 1], 0, 'ties');
    expect(tf.getBackend()).toBe(backend);
  });
});
