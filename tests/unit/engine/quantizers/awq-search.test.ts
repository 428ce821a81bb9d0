import { beforeAll, describe, expect, it } from 'vitest';
import { parseScheme } from '#contract/scheme.ts';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { dequantizeLinear } from '../../../../src-main/engine/formats/packed-linear.ts';
import { clampToLimits, searchClip } from '../../../../src-main/engine/quantizers/awq-clip.ts';
import { relativeMagnitude, roundScaled, scaleCandidate, searchScale } from '../../../../src-main/engine/quantizers/awq-scale.ts';
import { GroupInputs } from '../../../../src-main/engine/quantizers/partial-products.ts';
import { quantizeRtn } from '../../../../src-main/engine/quantizers/rtn.ts';
import { normals, outputErrorOf } from './matrices.ts';

beforeAll(() => selectBackend('wasm'));

const floats = (count: number, seed: number, factor: (i: number) => number = () => 1) =>
  Float32Array.from(normals(count, seed), (value, i) => value * factor(i));
const breathe = async () => undefined;

describe('scale candidates', () => {
  const a = Float32Array.of(0.5, 2, 8, 0);

  it('are t = max(a^r, 1e-4) / √(max·min)', () => {
    for (const ratio of [0.25, 0.5, 0.95]) {
      const raw = [...a].map((value) => Math.max(value ** ratio, 1e-4));
      const norm = Math.sqrt(Math.max(...raw) * Math.min(...raw));
      const t = scaleCandidate(a, null, ratio);
      raw.forEach((value, i) => void expect(t[i]! / (value / norm)).toBeCloseTo(1, 6));
      expect(Math.max(...t) * Math.min(...t)).toBeCloseTo(1, 6);
    }
  });

  it('of exponent 0, or of channels that are all alike or all silent, are 1', () => {
    expect([...scaleCandidate(a, null, 0)]).toEqual([1, 1, 1, 1]);
    for (const value of [3, 0]) expect([...scaleCandidate(new Float32Array(4).fill(value), null, 0.7)]).toEqual([1, 1, 1, 1]);
  });

  it('with duo scaling are divided by m^(1−r) + 1e-4', () => {
    const m = Float32Array.of(0.1, 0.2, 0.4, 0);
    const raw = [...a].map((value, i) => Math.max(value ** 0.5 / (m[i]! ** 0.5 + 1e-4), 1e-4));
    const norm = Math.sqrt(Math.max(...raw) * Math.min(...raw));
    scaleCandidate(a, m, 0.5).forEach((value, i) => void expect(value / (raw[i]! / norm)).toBeCloseTo(1, 6));
  });

  it('take m as the mean over rows of |w| over its group’s largest', () => {
    const linear = (weight: number[]) => ({
      weight: Float32Array.from(weight),
      shape: { outFeatures: weight.length / 4, inFeatures: 4 },
      scheme: { ...parseScheme('W4G128'), groupSize: 2 },
    });
    const m = relativeMagnitude([linear([1, -2, 0, 0]), linear([4, 1, 3, -6, -1, 1, 2, 1])]);
    [(0.5 + 1 + 1) / 3, (1 + 0.25 + 1) / 3, (0 + 0.5 + 1) / 3, (0 + 1 + 0.5) / 3].forEach((value, i) => {
      expect(m[i]).toBeCloseTo(value, 5);
    });
  });
});

describe('the scale search', () => {
  const [rows, n, tokens] = [12, 64, 80];
  const shape = { outFeatures: rows, inFeatures: n };
  const scheme = { ...parseScheme('W3G128'), groupSize: 16 };
  const loudness = (i: number) => (i % 64 === 5 || i % 64 === 40 ? 20 : 1);
  const inputs = floats(tokens * n, 2, loudness);
  const weight = floats(rows * n, 1);
  const mean = Float32Array.from({ length: n }, (_, channel) => {
    let sum = 0;
    for (let token = 0; token < tokens; token++) sum += Math.abs(inputs[token * n + channel]!);
    return sum / tokens;
  });

  it('with t = 1 rounds as plain rounding to nearest on the same grid does', () => {
    for (const written of ['W3G16', 'W4', 'W2G8:sym', 'W8G32']) {
      const used = parseScheme(written);
      const grid = used.symmetric ? 'signed' : 'affine-narrow';
      const plain = dequantizeLinear(quantizeRtn(weight, shape, used, { grid }));
      expect(roundScaled({ weight, shape, scheme: used }, new Float32Array(n).fill(1))).toEqual(plain);
    }
  });

  it.each(['activation', 'duo'] as const)('with %s scaling takes the best candidate, which beats plain rounding', async (scaling) => {
    const errors: number[] = [];
    const choice = await searchScale([{ module: 'm', weight, shape, scheme }], mean, scaling, async (weights) => {
      errors.push(outputErrorOf(inputs, weight, weights.get('m')!, n));
      return errors.at(-1)!;
    });
    expect(errors.length).toBe(20);
    expect(choice.error).toBe(Math.min(...errors));
    expect(choice.ratio).toBe(errors.indexOf(choice.error) / 20);
    const nearest = outputErrorOf(inputs, weight, dequantizeLinear(quantizeRtn(weight, shape, scheme, { grid: 'affine-narrow' })), n);
    if (scaling === 'activation') expect(errors[0]).toBe(nearest);
    expect(choice.error).toBeLessThan(0.9 * nearest);
    const chosen = roundScaled({ weight, shape, scheme }, choice.t);
    expect(outputErrorOf(inputs, weight, chosen, n)).toBe(choice.error);
  });

  it('refuses a block whose output is never finite', async () => {
    const never = searchScale([{ module: 'm', weight, shape, scheme }], mean, 'activation', async () => Number.NaN);
    await expect(never).rejects.toMatchObject({ code: 'numeric' });
  });
});

describe('partial products', () => {
  it.each([1, 16, 128, 129, 300])('of a group of %d inputs are those of plain loops', (size) => {
    const [tokens, inFeatures, start, rows] = [200, size + 7, 3, 5];
    const inputs = floats(tokens * inFeatures, size);
    const delta = normals(rows * size, size + 1);
    const sums = new GroupInputs(inputs, inFeatures, start, size).squaredOutputs(delta, rows);
    for (let row = 0; row < rows; row++) {
      let expected = 0;
      for (let token = 0; token < tokens; token++) {
        let product = 0;
        for (let i = 0; i < size; i++) product += inputs[token * inFeatures + start + i]! * delta[row * size + i]!;
        expected += product ** 2;
      }
      expect(sums[row]! / expected).toBeCloseTo(1, 10);
    }
  });
});

describe('the clip search', () => {
  it.each([
    ['W3G16', 32],
    ['W2G128', 128],
    ['W4', 192],
    ['W3:sym', 160],
  ])('for %s over %d inputs finds the best of ten limits for every row and group', async (written, n) => {
    const scheme = parseScheme(written);
    const [rows, tokens] = [6, 150];
    const shape = { outFeatures: rows, inFeatures: n };
    const weight = floats(rows * n, n, (i) => (i % 37 === 0 ? 4 : 1));
    const inputs = floats(tokens * n, n + 1, (i) => (i % 5 === 0 ? 3 : 1));
    const limits = await searchClip({ weight, shape, scheme, inputs, breathe });
    const size = scheme.groupSize ?? n;
    const grid = scheme.symmetric ? 'signed' : 'affine-narrow';
    const errorAt = (row: number, group: number, limit: number) => {
      const start = row * n + group * size;
      const part = weight.slice(start, start + size);
      const clamped = part.map((value) => Math.max(-limit, Math.min(limit, value)));
      const one = { outFeatures: 1, inFeatures: size };
      const rounded = dequantizeLinear(quantizeRtn(clamped, one, { ...scheme, strategy: 'channel', groupSize: null }, { grid }));
      const x = Float32Array.from({ length: tokens * size }, (_, i) => inputs[Math.floor(i / size) * n + group * size + (i % size)]!);
      return outputErrorOf(x, part, rounded, size);
    };
    let narrowed = 0;
    for (let row = 0; row < rows; row++) {
      for (let group = 0; group < n / size; group++) {
        const part = weight.subarray(row * n + group * size, row * n + (group + 1) * size);
        const largest = part.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
        const errors = Array.from({ length: 10 }, (_, step) => errorAt(row, group, Math.fround(largest * Math.fround(1 - step / 20))));
        const limit = limits[row * (n / size) + group]!;
        expect(errorAt(row, group, limit)).toBeCloseTo(Math.min(...errors), 9);
        expect(errorAt(row, group, limit)).toBeLessThanOrEqual(errors[0]!);
        if (limit < largest) narrowed++;
      }
    }
    expect(narrowed).toBeGreaterThan(0);
    const clamped = clampToLimits(weight, limits);
    for (const [i, value] of clamped.entries()) {
      const limit = limits[Math.floor(i / size)]!;
      expect(value).toBe(Math.abs(weight[i]!) > limit ? Math.sign(weight[i]!) * limit : weight[i]);
    }
  });

  it('leaves rows of zeros, and weights that no token reads, as they are', async () => {
    const shape = { outFeatures: 2, inFeatures: 8 };
    const scheme = parseScheme('W4G8');
    const weight = floats(16, 1, (i) => (i < 8 ? 0 : 1));
    for (const inputs of [floats(40, 2), new Float32Array(40)]) {
      const limits = await searchClip({ weight, shape, scheme, inputs, breathe });
      const clamped = clampToLimits(weight, limits);
      expect(clamped.subarray(0, 8).every((value) => value === 0)).toBe(true);
      if (inputs.every((value) => value === 0)) expect(clamped).toEqual(weight);
    }
  });
});
