import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { quantizeTokens, type TokenQuantizer } from '../../../../src-main/engine/ops/index.ts';
import { quantizeTokensGradientReference, quantizeTokensReference } from '../../../../src-main/engine/ops/quantize-tokens/reference.ts';
import { expectClose, normals, testBackends } from './op-check.ts';

const plain: TokenQuantizer = { bits: 4, symmetric: false, clipHigh: 1, clipLow: 1, outlierThreshold: null };
const cases: [string, TokenQuantizer][] = [
  ['4 bits, asymmetric', plain],
  ['3 bits, clipped', { ...plain, bits: 3, clipHigh: 0.9, clipLow: 0.8 }],
  ['8 bits, symmetric with outliers', { ...plain, bits: 8, symmetric: true, outlierThreshold: 1.5 }],
  ['2 bits, symmetric', { ...plain, bits: 2, symmetric: true }],
];

/** Nearest, halves to even. */
function rounded(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/** The definition, a row at a time in double precision. */
function exact(x: Float64Array, size: number, { bits, symmetric, clipHigh, clipLow, outlierThreshold }: TokenQuantizer): Float64Array {
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += size) {
    const row = x.subarray(start, start + size);
    const isOutlier = (value: number) => outlierThreshold !== null && Math.abs(value) >= outlierThreshold;
    const kept = [...row].map((value) => (isOutlier(value) ? 0 : value));
    const high = Math.max(0, ...kept) * clipHigh;
    const low = Math.min(0, ...kept) * clipLow;
    const half = 2 ** (bits - 1);
    const scale = (symmetric ? Math.max(high, -low) / (half - 1) : (high - low) / (2 ** bits - 1)) || 1;
    const zero = symmetric ? 0 : rounded(-low / scale);
    const [least, most] = symmetric ? [-half, half - 1] : [0, 2 ** bits - 1];
    row.forEach((value, j) => {
      const code = Math.min(most, Math.max(least, rounded(value / scale) + zero));
      y[start + j] = isOutlier(value) ? value : (code - zero) * scale;
    });
  }
  return y;
}

/** Whether a row's value has a code outside the range before clipping, in double precision. */
function isClipped(row: Float32Array, j: number, { bits, symmetric, clipHigh, clipLow, outlierThreshold }: TokenQuantizer): boolean {
  const isOutlier = (value: number) => outlierThreshold !== null && Math.abs(value) >= outlierThreshold;
  if (isOutlier(row[j]!)) return false;
  const kept = [...row].filter((value) => !isOutlier(value));
  const [high, low] = [Math.max(0, ...kept) * clipHigh, Math.min(0, ...kept) * clipLow];
  const half = 2 ** (bits - 1);
  const scale = (symmetric ? Math.max(high, -low) / (half - 1) : (high - low) / (2 ** bits - 1)) || 1;
  const zero = symmetric ? 0 : rounded(-low / scale);
  const code = rounded(row[j]! / scale) + zero;
  return symmetric ? code < -half || code > half - 1 : code < 0 || code > 2 ** bits - 1;
}

describe.each(testBackends)('quantizeTokens on %s', (backend) => {
  const quantize = async (values: ArrayLike<number>, size: number, quantizer: TokenQuantizer) => {
    await selectBackend(backend);
    const x = tf.tensor2d(Float32Array.from(values), [values.length / size, size]);
    const y = quantizeTokens(x, quantizer);
    const result = (await y.data()).slice() as Float32Array;
    tf.dispose([x, y]);
    return result;
  };

  it.each(backend === 'wasm' ? cases : cases.slice(1, 3))('%s: gives the definition’s values', async (_, quantizer) => {
    await selectBackend(backend);
    const before = tf.memory().numTensors;
    for (const size of backend === 'wasm' ? [16, 30, 5] : [30]) {
      const values = normals(7 * size, size);
      const y = tf.tidy(() => quantizeTokens(tf.tensor(Float32Array.from(values), [7, size]), quantizer));
      await expectClose(y, exact(values, size, quantizer), 1e-6, `rows of ${size}`);
      y.dispose();
    }
    expect(tf.memory().numTensors).toBe(before);
  });

  it('keeps a constant positive token exactly, and a token of zeros', async () => {
    expect(await quantize([0.7, 0.7, 0.7, 0.7, 0, 0, 0, 0], 4, plain)).toEqual(Float32Array.of(0.7, 0.7, 0.7, 0.7, 0, 0, 0, 0));
  });

  it('scales its output with its input', async () => {
    const token = normals(12, 3);
    const once = await quantize(token, 12, plain);
    const fourfold = await quantize(
      token.map((value) => 4 * value),
      12,
      plain,
    );
    expect(fourfold).toEqual(once.map((value) => 4 * value));
    for (const factor of [3, 0.1]) {
      const scaled = await quantize(
        token.map((value) => factor * value),
        12,
        plain,
      );
      for (const [i, value] of scaled.entries()) expect(Math.abs(value - factor * once[i]!)).toBeLessThan(1e-5 * factor);
    }
  });

  it('leaves outliers as they are and the others as if they were not there', async () => {
    const int8: TokenQuantizer = { ...plain, bits: 8, symmetric: true, outlierThreshold: 6 };
    const token = normals(8, 4);
    const without = await quantize([...token.subarray(0, 7), 0], 8, int8);
    const result = await quantize([...token.subarray(0, 7), 100], 8, int8);
    expect(result[7]).toBe(100);
    expect(result.subarray(0, 7)).toEqual(without.subarray(0, 7));
    // Without an outlier it is plain vector-wise rounding to 127 steps.
    const most = Math.max(...token.subarray(0, 7).map(Math.abs));
    without.subarray(0, 7).forEach((value, i) => {
      expect(value).toBeCloseTo((rounded((127 * token[i]!) / most) * most) / 127, 5);
    });
  });
});

describe.each(testBackends)('the gradient of quantizeTokens on %s', (backend) => {
  it.each(backend === 'wasm' ? cases : cases.slice(1, 3))('%s: passes where no code was clipped, and at outliers', async (_, quantizer) => {
    await selectBackend(backend);
    const size = 30;
    const values = Float32Array.from(normals(6 * size, 7));
    const direction = Float32Array.from(normals(6 * size, 8));
    const before = tf.memory().numTensors;
    const [x, dy] = [tf.tensor(values, [2, 3, size]), tf.tensor(direction, [2, 3, size])];
    const dx = tf.tidy(() => tf.grad((v) => quantizeTokens(v, quantizer))(x, dy));
    const gradient = await dx.data();
    const expected = direction.map((value, i) => {
      const row = values.subarray(i - (i % size), i - (i % size) + size);
      return isClipped(row, i % size, quantizer) ? 0 : value;
    });
    expect(gradient).toEqual(expected);
    expect(expected.some((value) => value === 0)).toBe(quantizer.clipHigh < 1);
    tf.dispose([x, dy, dx]);
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('the wasm kernel', () => {
  it('gives the bits of the composed form, forward and back', async () => {
    await selectBackend('wasm');
    for (const [name, quantizer] of cases) {
      for (const size of [8, 31, 128]) {
        const x = tf.tensor(Float32Array.from(normals(40 * size, size)), [5, 8, size]);
        const [kernel, composed] = [quantizeTokens(x, quantizer), quantizeTokensReference(x, quantizer)];
        expect(await kernel.data(), `${name}, ${size}`).toEqual(await composed.data());
        const dy = tf.tensor(Float32Array.from(normals(40 * size, 9)), x.shape);
        const [dx, dxComposed] = [tf.grad((v) => quantizeTokens(v, quantizer))(x, dy), quantizeTokensGradientReference(dy, x, quantizer)];
        expect(await dx.data(), `gradient, ${name}, ${size}`).toEqual(await dxComposed.data());
        tf.dispose([x, kernel, composed, dy, dx, dxComposed]);
      }
    }
  });
});
