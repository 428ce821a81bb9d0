import { describe, expect, it } from 'vitest';
import { decodeCode, encodeWeight, type Grid, gridFor, roundHalfEven } from '../../../../src-main/engine/observers/grid.ts';
import { GroupObserver } from '../../../../src-main/engine/observers/group-observer.ts';

type Bits = 2 | 3 | 4 | 5 | 6 | 7 | 8;

function observe(values: number[], grid: Grid, bits: Bits, options: { mseSearch?: boolean; scaleType?: 'float16' | 'unrounded' } = {}) {
  const observer = new GroupObserver({ bits, grid, mseSearch: options.mseSearch ?? false, scaleType: options.scaleType ?? 'unrounded' });
  const weights = Float32Array.from(values);
  observer.observe(weights, 0, weights.length);
  const codes = Array.from(weights, (weight) => encodeWeight(weight, observer.scale, observer.zero, observer.maxCode));
  const decoded = codes.map((code) => decodeCode(code, observer.scale, observer.zero));
  return { scale: observer.scale, zero: observer.zero, codes, decoded };
}

function expectClose(actual: number[], expected: number[], digits = 3): void {
  expect(actual).toHaveLength(expected.length);
  expected.forEach((value, index) => void expect(actual[index]).toBeCloseTo(value, digits));
}

describe('roundHalfEven', () => {
  it('sends ties to the even neighbour, unlike Math.round', () => {
    expect([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5].map(roundHalfEven)).toEqual([-2, -2, 0, 0, 2, 2, 4]);
    expect(roundHalfEven(2.5000001)).toBe(3);
    expect(roundHalfEven(-130.49)).toBe(-130);
  });
});

describe('the worked example w = [-1, -.4, .1, .55, .9] at 3 bits', () => {
  const weights = [-1, -0.4, 0.1, 0.55, 0.9];

  it('signed (A): s = 1/3 and both extremes are exact', () => {
    const result = observe(weights, 'signed', 3);
    expect(result.scale).toBeCloseTo(1 / 3, 6);
    expect(result.codes.map((code) => code - result.zero)).toEqual([-3, -1, 0, 2, 3]);
    expect(result.decoded[0]).toBeCloseTo(-1, 6);
  });

  it('mirrored (B): s = 2/7, all codes used', () => {
    const result = observe(weights, 'mirrored', 3);
    expect(result.scale).toBeCloseTo(2 / 7, 6);
    expect(result.codes).toEqual([0, 3, 4, 6, 7]);
    expectClose(result.decoded, [-1.143, -0.286, 0, 0.571, 0.857]);
  });

  it('affine (C): s = .27143, z = 4', () => {
    const result = observe(weights, 'affine', 3);
    expect(result.scale).toBeCloseTo(0.27143, 5);
    expect(result.zero).toBe(4);
    expectClose(result.decoded, [-1.086, -0.271, 0, 0.543, 0.814]);
  });
});

describe('edge cases', () => {
  it('an all-positive group: C widens the range to 0, D clips at its zero point', () => {
    expectClose(observe([2, 2.5, 3], 'affine', 3).decoded, [2.143, 2.571, 3]);
    expect(observe([2, 2.5, 3], 'affine-narrow', 3).decoded.map((value) => Math.fround(value))).toEqual(
      [1, 1, 1].map(() => expect.closeTo(1, 6)),
    );
  });

  it('a non-negative group is mirrored under B, so its maximum survives', () => {
    const result = observe([0.1, 0.7, 1.4], 'mirrored', 3);
    expect(result.scale).toBeCloseTo(0.4, 6);
    expect(result.codes).toEqual([4, 6, 7]);
    expectClose(result.decoded, [0, 0.8, 1.2]);
  });

  it.each<Grid>(['signed', 'mirrored', 'affine', 'affine-narrow'])('an all-zero group stays exactly zero on %s', (grid) => {
    const result = observe([0, 0, 0, 0], grid, 2, { scaleType: 'float16' });
    expect(result.scale).toBeGreaterThan(0);
    expect(result.decoded).toEqual([0, 0, 0, 0]);
  });

  it('an all-zero affine group has the range −1 … 1', () => {
    expect(observe([0, 0], 'affine', 2)).toMatchObject({ zero: 2, codes: [2, 2] });
  });

  it.each([1.75, -0.3])('a constant group of %d is exact under C', (constant) => {
    const { decoded } = observe([constant, constant], 'affine', 4);
    expect(decoded[0]).toBeCloseTo(constant, 6);
  });

  it('a group of denormal weights keeps a positive 16-bit scale', () => {
    const result = observe([1e-9, -2e-9], 'affine', 4, { scaleType: 'float16' });
    expect(result.scale).toBe(2 ** -24);
    expect(result.decoded).toEqual([0, 0]);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('refuses %d', (bad) => {
    expect(() => observe([0.5, bad, 1], 'affine', 4)).toThrowError(expect.objectContaining({ code: 'numeric' }));
  });

  it('refuses weights whose scale has no 16-bit form', () => {
    expect(() => observe([1e30, -1], 'signed', 2, { scaleType: 'float16' })).toThrowError(expect.objectContaining({ code: 'numeric' }));
  });
});

describe('the range search', () => {
  it('keeps the full range when nothing smaller is better', () => {
    expect(observe([-1, 0, 2, 1, -1], 'affine', 2, { mseSearch: true })).toMatchObject({ scale: 1, zero: 1, codes: [0, 1, 3, 2, 0] });
  });

  it('finds the best of the shares 1, .99, … .21 for Σ|error|^2.4', () => {
    const weights = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i * i) * (i === 20 ? 4 : 1));
    const errorAt = (share: number): number => {
      const scale = Math.fround((2 * share * weights.reduce((max, w) => Math.max(max, Math.abs(w)), 0)) / 3);
      return weights.reduce((sum, w) => sum + Math.abs(w - scale * (encodeWeight(w, scale, 2, 3) - 2)) ** 2.4, 0);
    };
    const shares = Array.from({ length: 80 }, (_, i) => 1 - i / 100);
    const best = shares.reduce((a, b) => (errorAt(b) < errorAt(a) ? b : a));
    expect(best).toBeLessThan(0.9);
    const full = observe([...weights], 'mirrored', 2).scale;
    expect(observe([...weights], 'mirrored', 2, { mseSearch: true }).scale).toBeCloseTo(best * full, 6);
  });
});

it('RTN rounds symmetrically on A, GPTQ on B, both asymmetrically on C; AWQ on A and D', () => {
  expect(gridFor('awq', { symmetric: true })).toBe('signed');
  expect(gridFor('awq', { symmetric: false })).toBe('affine-narrow');
  expect(gridFor('rtn', { symmetric: true })).toBe('signed');
  expect(gridFor('gptq', { symmetric: true })).toBe('mirrored');
  expect(gridFor('rtn', { symmetric: false })).toBe('affine');
  expect(gridFor('gptq', { symmetric: false })).toBe('affine');
});
