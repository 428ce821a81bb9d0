import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { dequantizeLinear } from '../../../../src-main/engine/formats/packed-linear.ts';
import { roundHalfEven } from '../../../../src-main/engine/observers/grid.ts';
import { linear } from '../../../../src-main/engine/ops/index.ts';
import { quantizeTokens, type TokenQuantizer } from '../../../../src-main/engine/ops/quantize-tokens/index.ts';
import { quantizeInt8 } from '../../../../src-main/engine/quantizers/int8.ts';
import { testBackends } from '../ops/op-check.ts';
import { normals } from './matrices.ts';

const [tokens, inFeatures, outFeatures] = [5, 24, 6];
const shape = { outFeatures, inFeatures };
const weight = Float32Array.from(normals(outFeatures * inFeatures, 1));
const inputs = Float32Array.from(normals(tokens * inFeatures, 2));
const quantizer: TokenQuantizer = { bits: 8, symmetric: true, clipHigh: 1, clipLow: 1, outlierThreshold: 6 };

describe('rows', () => {
  it('go to round(127·w / absmax), the largest to ±127', () => {
    const { codes, scales, zeros } = quantizeInt8(weight, shape);
    for (let row = 0; row < outFeatures; row++) {
      const values = weight.subarray(row * inFeatures, (row + 1) * inFeatures);
      const absmax = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
      expect(scales[row]).toBe(Math.fround(absmax / 127));
      const expected = Array.from(values, (value) => roundHalfEven((127 * value) / absmax));
      expect(Array.from(codes.subarray(row * inFeatures, (row + 1) * inFeatures), (code) => code - 128)).toEqual(expected);
      expect(Math.max(...expected.map(Math.abs))).toBe(127);
    }
    expect(zeros.every((zero) => zero === 128)).toBe(true);
  });

  it('of zeros stay zeros, and numbers too small to invert never grow', () => {
    const packed = quantizeInt8(Float32Array.of(0, 0, 1e-40, -5e-41), { outFeatures: 2, inFeatures: 2 });
    expect([...packed.codes.subarray(0, 2)]).toEqual([128, 128]);
    const values = dequantizeLinear(packed);
    expect([values[0], values[1]]).toEqual([0, 0]);
    for (const value of values) expect(Math.abs(value)).toBeLessThan(1.1e-40);
  });

  it('with NaN or infinity are refused', () => {
    for (const bad of [Number.NaN, Number.NEGATIVE_INFINITY])
      expect(() => quantizeInt8(Float32Array.of(1, bad), { outFeatures: 1, inFeatures: 2 })).toThrowError(
        expect.objectContaining({ code: 'numeric' }),
      );
  });
});

/** Output [tokens, out] of plain vector-wise W8A8 in float64, leaving out the columns in `skip`. */
function vectorWise(x: Float32Array, skip: readonly number[] = []): Float64Array {
  const rounded = (row: Float32Array) => {
    const kept = Array.from(row, (value, column) => (skip.includes(column) ? 0 : value));
    const absmax = Math.max(...kept.map(Math.abs));
    return kept.map((value) => (roundHalfEven(Math.fround((127 * value) / absmax)) * absmax) / 127);
  };
  const packed = dequantizeLinear(quantizeInt8(weight, shape));
  const outputs = new Float64Array(tokens * outFeatures);
  for (let token = 0; token < tokens; token++) {
    const row = rounded(x.subarray(token * inFeatures, (token + 1) * inFeatures));
    for (let out = 0; out < outFeatures; out++)
      for (let i = 0; i < inFeatures; i++)
        if (!skip.includes(i)) outputs[token * outFeatures + out]! += row[i]! * packed[out * inFeatures + i]!;
  }
  return outputs;
}

async function int8Output(x: Float32Array, settings = quantizer): Promise<Float32Array> {
  const outputs = tf.tidy(() => {
    const weights = tf.tensor2d(dequantizeLinear(quantizeInt8(weight, shape)), [outFeatures, inFeatures]);
    return linear(quantizeTokens(tf.tensor2d(x, [tokens, inFeatures]), settings), weights);
  });
  const values = (await outputs.data<'float32'>()).slice();
  outputs.dispose();
  return values;
}

describe.each(testBackends)('the product on %s', (backend) => {
  it('without outliers is plain vector-wise W8A8', async () => {
    await selectBackend(backend);
    const before = tf.memory().numTensors;
    const [actual, expected] = [await int8Output(inputs), vectorWise(inputs)];
    for (const [i, value] of expected.entries()) expect(Math.abs(actual[i]! - value)).toBeLessThan(1e-4);
    expect(await int8Output(inputs, { ...quantizer, outlierThreshold: null })).toEqual(actual);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('does not let one 100× column change the error of the other channels', async () => {
    await selectBackend(backend);
    const column = 9;
    const loud = inputs.map((value, i) => (i % inFeatures === column ? 100 * Math.sign(value) * (1 + Math.abs(value)) : value));
    const packed = dequantizeLinear(quantizeInt8(weight, shape));
    const actual = await int8Output(loud);
    const rest = vectorWise(loud, [column]);
    const naive = await int8Output(loud, { ...quantizer, outlierThreshold: null });
    let [kept, lost] = [0, 0];
    for (let i = 0; i < actual.length; i++) {
      const [token, out] = [Math.floor(i / outFeatures), i % outFeatures];
      const outlier = loud[token * inFeatures + column]! * packed[out * inFeatures + column]!;
      kept = Math.max(kept, Math.abs(actual[i]! - outlier - rest[i]!));
      lost = Math.max(lost, Math.abs(naive[i]! - outlier - rest[i]!));
    }
    expect(kept).toBeLessThan(1e-3);
    expect(lost).toBeGreaterThan(0.1);
  });
});
