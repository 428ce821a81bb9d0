import { describe, expect, it } from 'vitest';
import { inverseUpperFactor } from '../../../../src-main/engine/quantizers/inverse-factor.ts';
import { correlatedInputs, hessianOf } from './matrices.ts';

/** Largest entry of |U·A·Uᵀ − I|, which is 0 exactly when UᵀU = A⁻¹. */
function residual(upper: Float64Array, a: Float64Array, n: number): number {
  let worst = 0;
  for (let i = 0; i < n; i++) {
    const product = new Float64Array(n);
    for (let k = 0; k < n; k++) for (let j = 0; j < n; j++) product[j]! += upper[i * n + k]! * a[k * n + j]!;
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += product[k]! * upper[j * n + k]!;
      worst = Math.max(worst, Math.abs(sum - (i === j ? 1 : 0)));
    }
  }
  return worst;
}

describe('inverseUpperFactor', () => {
  it.each([1, 2, 5, 31, 32, 33, 64, 97, 128, 129, 257])('inverts and factors a %d × %d matrix', (n) => {
    const a = hessianOf(correlatedInputs(4 * n + 4, n, n), n);
    const before = a.slice();
    const upper = inverseUpperFactor(a, n)!;
    expect(a).toEqual(before);
    expect(residual(upper, a, n)).toBeLessThan(1e-8);
    for (let i = 0; i < n; i++) {
      expect(upper[i * n + i]).toBeGreaterThan(0);
      for (let j = 0; j < i; j++) expect(upper[i * n + j]).toBe(0);
    }
  });

  it.each([
    ['indefinite', [1, 1.05, 1.05, 1]],
    ['singular', [1, 1, 1, 1]],
    ['not a number', [Number.NaN, 0, 0, 1]],
    ['infinite', [Number.POSITIVE_INFINITY, 0, 0, 1]],
  ])('gives null for a matrix that is %s', (_, entries) => {
    expect(inverseUpperFactor(Float64Array.from(entries), 2)).toBeNull();
  });

  it('gives null when only the last pivots fail', () => {
    const n = 140;
    const a = new Float64Array(n * n);
    for (let i = 0; i < n; i++) a[i * n + i] = i === 3 ? -1 : 2;
    expect(inverseUpperFactor(a, n)).toBeNull();
  });
});
