import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { decodeCode, encodeWeight, type Grid } from '../../../../src-main/engine/observers/grid.ts';
import { observeWeight } from '../../../../src-main/engine/observers/weight-observer.ts';
import { fakeQuantize } from '../../../../src-main/engine/ops/index.ts';
import { type GptqResult, type GptqSettings, solveGptq } from '../../../../src-main/engine/quantizers/gptq.ts';
import { factorHessian, IndefiniteHessian } from '../../../../src-main/engine/quantizers/gptq-factor.ts';
import { InputStatistics } from '../../../../src-main/engine/quantizers/input-statistics.ts';
import { encodeOnGrid } from '../../../../src-main/engine/quantizers/rtn.ts';
import { expectClose, testBackends } from '../ops/op-check.ts';
import { correlatedInputs, hessianOf, normals, outputErrorOf } from './matrices.ts';

const base: GptqSettings = {
  bits: 3,
  grid: 'affine',
  mseSearch: false,
  scaleType: 'float16',
  groupSize: 16,
  staticGroups: false,
  blockSize: 128,
};

/** The weights a result stands for, [out, in]. */
function decode(result: GptqResult, inFeatures: number, groupSize: number): Float32Array {
  const perRow = Math.ceil(inFeatures / groupSize);
  return Float32Array.from(result.codes, (code, index) => {
    const input = index % inFeatures;
    const group = Math.floor(index / inFeatures) * perRow + (result.groupIndex?.[input] ?? Math.floor(input / groupSize));
    return decodeCode(code, result.scales[group]!, result.zeros[group]!);
  });
}

/** Round-to-nearest of `values` on the grid a GPTQ result used. */
function roundOnGrid(values: ArrayLike<number>, result: GptqResult, inFeatures: number, settings: GptqSettings): Float32Array {
  const perRow = Math.ceil(inFeatures / settings.groupSize);
  return Float32Array.from(values, (value, index) => {
    const input = index % inFeatures;
    const group = Math.floor(index / inFeatures) * perRow + (result.groupIndex?.[input] ?? Math.floor(input / settings.groupSize));
    const [scale, zero] = [result.scales[group]!, result.zeros[group]!];
    return decodeCode(encodeWeight(value, scale, zero, 2 ** settings.bits - 1), scale, zero);
  });
}

describe('the worked example', () => {
  const weight = Float32Array.from([0.9, -0.5, 0.3, -0.2]);
  const inputs = [1, 0.8, 0.2, 0, 0.9, 1, 0.1, 0.3, 0.2, 0.3, 1, 0.9, 0.1, 0, 0.8, 1];
  const shape = { outFeatures: 1, inFeatures: 4 };
  const settings: GptqSettings = { ...base, bits: 2, groupSize: 4, scaleType: 'unrounded' };
  const factor = factorHessian(hessianOf(inputs, 4), 4, { actOrder: false, dampPercent: 0.01 });
  let result: GptqResult;
  beforeAll(async () => {
    result = await solveGptq(weight, shape, factor, settings);
  });

  it('gives scale, zero point, codes and latents', async () => {
    expect(result.scales[0]).toBeCloseTo(0.466667, 6);
    expect(result.zeros[0]).toBe(1);
    const quantized = decode(result, 4, 4);
    [0.9333, -0.4667, 0.4667, -0.4667].forEach((value, index) => void expect(quantized[index]).toBeCloseTo(value, 4));
    [0.9, -0.533531, 0.272933, -0.369799].forEach((value, index) => void expect(result.latents[index]).toBeCloseTo(value, 6));
  });

  it('lowers the mean squared output error from .068417 to .007206', async () => {
    const rtn = roundOnGrid(weight, result, 4, settings);
    [0.9333, -0.4667, 0.4667, 0].forEach((value, index) => void expect(rtn[index]).toBeCloseTo(value, 4));
    expect(outputErrorOf(inputs, weight, rtn, 4)).toBeCloseTo(0.068417, 6);
    expect(outputErrorOf(inputs, weight, decode(result, 4, 4), 4)).toBeCloseTo(0.007206, 6);
  });
});

describe.each(testBackends)('the worked example on %s', (backend) => {
  it('comes out of tensors, and training starts where it ends', async () => {
    await selectBackend(backend);
    const before = tf.memory().numTensors;
    const weight = Float32Array.from([0.9, -0.5, 0.3, -0.2]);
    const batch = tf.tensor2d([1, 0.8, 0.2, 0, 0.9, 1, 0.1, 0.3, 0.2, 0.3, 1, 0.9, 0.1, 0, 0.8, 1], [4, 4]);
    const statistics = new InputStatistics();
    statistics.add(batch);
    const factor = factorHessian(await statistics.hessian(), 4, { actOrder: false, dampPercent: 0.01 });
    const settings: GptqSettings = { ...base, bits: 2, groupSize: 4, scaleType: 'unrounded' };
    const result = await solveGptq(weight, { outFeatures: 1, inFeatures: 4 }, factor, settings);
    expect([...result.codes]).toEqual([3, 0, 2, 0]);
    const rtn = roundOnGrid(weight, result, 4, settings);
    const errorOf = (quantized: Float32Array) => statistics.meanSquaredOutput(weight.map((value, i) => value - quantized[i]!));
    expect(await errorOf(rtn)).toBeCloseTo(0.068417, 6);
    expect(await errorOf(decode(result, 4, 4))).toBeCloseTo(0.007206, 6);
    const trained = tf.tidy(() => {
      const parameters = { scale: tf.tensor2d(result.scales, [1, 1]), zeroPoint: tf.tensor2d(Float32Array.from(result.zeros), [1, 1]) };
      return fakeQuantize(tf.tensor2d(result.latents, [1, 4]), { bits: 2, form: 'asymmetric', groupSize: null }, { parameters });
    });
    await expectClose(trained, decode(result, 4, 4), 1e-7, 'latents in training');
    tf.dispose([batch, trained]);
    statistics.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

const [rows, n] = [20, 64];
const shape = { outFeatures: rows, inFeatures: n };
const weight = Float32Array.from(normals(rows * n, 11), (value) => value / 8);
const inputs = correlatedInputs(300, n, 5);
const hessian = hessianOf(inputs, n);

describe('invariants', () => {
  const cases: (Partial<GptqSettings> & { actOrder: boolean })[] = [
    { actOrder: false, groupSize: 64 },
    { actOrder: true, groupSize: 64, grid: 'mirrored' },
    { actOrder: false, groupSize: 16 },
    { actOrder: false, groupSize: 16, staticGroups: true, mseSearch: true },
    { actOrder: true, groupSize: 16 },
    { actOrder: true, groupSize: 16, staticGroups: true, bits: 2, grid: 'mirrored' },
    { actOrder: true, groupSize: 24, mseSearch: true, bits: 4 },
    { actOrder: false, groupSize: 48, blockSize: 32 },
  ];

  it.each(cases)('%j: rounding the latents on the grid gives the output bit for bit', async ({ actOrder, ...part }) => {
    const settings = { ...base, ...part };
    const result = await solveGptq(weight, shape, factorHessian(hessian, n, { actOrder, dampPercent: 0.01 }), settings);
    expect(roundOnGrid(result.latents, result, n, settings)).toEqual(decode(result, n, settings.groupSize));
    expect(result.groupIndex === null).toBe(!(actOrder && !settings.staticGroups && settings.groupSize < n));
  });

  it.each(cases)('%j: ½Σe² equals ½·tr(Δ·H_damped·Δᵀ)', async ({ actOrder, ...part }) => {
    const settings = { ...base, ...part };
    const result = await solveGptq(weight, shape, factorHessian(hessian, n, { actOrder, dampPercent: 0.01 }), settings);
    const quantized = decode(result, n, settings.groupSize);
    const mean = Array.from({ length: n }, (_, i) => hessian[i * n + i]!).reduce((a, b) => a + b) / n;
    let trace = 0;
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) {
          const damped = hessian[i * n + j]! + (i === j ? 0.01 * mean : 0);
          trace += (weight[row * n + i]! - quantized[row * n + i]!) * damped * (weight[row * n + j]! - quantized[row * n + j]!);
        }
      }
    }
    expect(result.loss / (trace / 2)).toBeCloseTo(1, 5);
  });

  it.each<Grid>(['affine', 'mirrored', 'signed'])('a diagonal Hessian gives round-to-nearest on %s', async (grid) => {
    const diagonal = new Float64Array(n * n);
    for (let i = 0; i < n; i++) diagonal[i * n + i] = 1 + ((i * 7) % 13);
    for (const actOrder of [false, true]) {
      const settings = { ...base, grid, staticGroups: true };
      const result = await solveGptq(weight, shape, factorHessian(diagonal, n, { actOrder, dampPercent: 0.01 }), settings);
      const qparams = observeWeight(weight, shape, 16, settings);
      expect(result.codes).toEqual(encodeOnGrid(weight, shape, 16, qparams, 3));
      expect(result.latents).toEqual(weight);
    }
  });

  it('the block size does not change the codes', async () => {
    const factor = factorHessian(hessian, n, { actOrder: false, dampPercent: 0.01 });
    for (const groupSize of [8, 16, 64]) {
      const whole = await solveGptq(weight, shape, factor, { ...base, groupSize, blockSize: 64 });
      for (const blockSize of [8, 20, 33]) {
        const blocked = await solveGptq(weight, shape, factor, { ...base, groupSize, blockSize });
        expect(blocked.codes).toEqual(whole.codes);
      }
    }
  });

  it('a dynamic group is observed with every earlier error applied, also inside a block', async () => {
    const factor = factorHessian(hessian, n, { actOrder: false, dampPercent: 0.01 });
    const result = await solveGptq(weight, shape, factor, base);
    const stale = await solveGptq(weight, shape, factor, { ...base, staticGroups: true });
    expect(result.scales.subarray(0, 1)).toEqual(stale.scales.subarray(0, 1));
    expect(result.scales).not.toEqual(stale.scales);
  });

  it('with act-order and static groups, groups stay contiguous in stored order', async () => {
    const factor = factorHessian(hessian, n, { actOrder: true, dampPercent: 0.01 });
    const result = await solveGptq(weight, shape, factor, { ...base, staticGroups: true });
    const untouched = observeWeight(weight, shape, 16, base);
    expect(result.groupIndex).toBeNull();
    expect(result.scales).toEqual(untouched.scales);
    expect(result.zeros).toEqual(untouched.zeros);
  });

  it('beats round-to-nearest on the calibration inputs, case after case', async () => {
    for (let seed = 0; seed < 40; seed++) {
      const w = Float32Array.from(normals(8 * 32, 100 + seed));
      const x = correlatedInputs(120, 32, 200 + seed);
      const small = { outFeatures: 8, inFeatures: 32 };
      const settings = { ...base, groupSize: 16, staticGroups: true, bits: (2 + (seed % 3)) as 2 | 3 | 4 };
      const factor = factorHessian(hessianOf(x, 32), 32, { actOrder: seed % 2 === 1, dampPercent: 0.01 });
      const result = await solveGptq(w, small, factor, settings);
      const rtn = outputErrorOf(x, w, roundOnGrid(w, result, 32, settings), 32);
      expect(outputErrorOf(x, w, decode(result, 32, 16), 32)).toBeLessThan(1.02 * rtn);
    }
  });

  it('gives the same result every time', async () => {
    const run = () =>
      solveGptq(weight, shape, factorHessian(hessian, n, { actOrder: true, dampPercent: 0.01 }), { ...base, mseSearch: true });
    expect(await run()).toEqual(await run());
  });
});

describe('a wide linear', () => {
  it('chooses the same codes with large and with small blocks and takes no tensors', async () => {
    await selectBackend('wasm');
    const wide = { outFeatures: 512, inFeatures: 512 };
    const w = Float32Array.from(normals(512 * 512, 21), (value) => value / 16);
    const factor = factorHessian(hessianOf(correlatedInputs(600, 512, 22), 512), 512, { actOrder: false, dampPercent: 0.01 });
    const tensors = tf.memory().numTensors;
    const large = await solveGptq(w, wide, factor, { ...base, groupSize: 128 });
    expect(tf.memory().numTensors).toBe(tensors);
    const small = await solveGptq(w, wide, factor, { ...base, groupSize: 128, blockSize: 16 });
    const same = large.codes.reduce((count, code, index) => count + (code === small.codes[index] ? 1 : 0), 0);
    expect(same / w.length).toBeGreaterThan(0.999);
    expect(large.loss / small.loss).toBeCloseTo(1, 4);
  });
});

describe('difficult Hessians', () => {
  it('zeroes dead inputs and keeps the rest of the row in order', async () => {
    const silenced = inputs.map((value, index) => (index % n === 7 || index % n === 40 ? 0 : value));
    for (const actOrder of [false, true]) {
      const factor = factorHessian(hessianOf(silenced, n), n, { actOrder, dampPercent: 0.01 });
      expect(Array.from(factor.dead.keys()).filter((input) => factor.dead[input])).toEqual([7, 40]);
      const result = await solveGptq(weight, shape, factor, base);
      const quantized = decode(result, n, 16);
      for (let row = 0; row < rows; row++) {
        expect(quantized[row * n + 7]).toBe(0);
        expect(quantized[row * n + 40]).toBe(0);
      }
      expect(outputErrorOf(silenced, weight, quantized, n)).toBeLessThan(
        outputErrorOf(silenced, weight, roundOnGrid(weight, result, n, base), n),
      );
    }
  });

  it('quantizes with fewer calibration rows than inputs (a singular Hessian)', async () => {
    const few = inputs.slice(0, 5 * n);
    const factor = factorHessian(hessianOf(few, n), n, { actOrder: false, dampPercent: 0.01 });
    expect(factor.dampPercent).toBe(0.01);
    const result = await solveGptq(weight, shape, factor, base);
    expect(outputErrorOf(few, weight, decode(result, n, 16), n)).toBeLessThan(
      outputErrorOf(few, weight, roundOnGrid(weight, result, n, base), n),
    );
  });

  it('quantizes without any activation at all as round-to-nearest of zero', async () => {
    const factor = factorHessian(new Float64Array(n * n), n, { actOrder: true, dampPercent: 0.01 });
    const result = await solveGptq(weight, shape, factor, base);
    expect(decode(result, n, 16).every((value) => value === 0)).toBe(true);
  });

  it('raises the damping in steps of .01 until the factorisation succeeds', async () => {
    const indefinite = Float64Array.from([1, 1.045, 1.045, 1]);
    expect(factorHessian(indefinite, 2, { actOrder: false, dampPercent: 0.01 }).dampPercent).toBeCloseTo(0.05, 10);
    expect(indefinite).toEqual(Float64Array.from([1, 1.045, 1.045, 1]));
  });

  it('refuses a matrix no damping can help, and one that is not finite', async () => {
    const options = { actOrder: false, dampPercent: 0.01 };
    expect(() => factorHessian(Float64Array.from([1, 9, 9, 1]), 2, options)).toThrowError(IndefiniteHessian);
    expect(() => factorHessian(Float64Array.from([1, Number.NaN, 0, 1]), 2, options)).toThrowError(
      expect.objectContaining({ code: 'numeric', message: expect.stringContaining('NaN') }),
    );
  });
});
