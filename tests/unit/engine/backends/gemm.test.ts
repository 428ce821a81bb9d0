import { beforeAll, describe, expect, it } from 'vitest';
import { startWasm } from '../../../../src-main/engine/backends/wasm/backend.ts';
import { batchedGemm, type Gemm, gemm } from '../../../../src-main/engine/backends/wasm/gemm.ts';
import { allocate, floatsAt, release } from '../../../../src-main/engine/backends/wasm/memory.ts';
import { normals } from '../ops/op-check.ts';

beforeAll(async () => {
  await startWasm();
});

function place(values: Float64Array): number {
  const offset = allocate(4 * values.length);
  floatsAt(offset, values.length).set(values);
  return offset;
}

function exactProduct(a: Float64Array, b: Float64Array, { m, n, k, transA, transB }: Omit<Gemm, 'a' | 'b' | 'c'>): Float64Array {
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      for (let p = 0; p < k; p++) c[i * n + j]! += a[transA ? p * m + i : i * k + p]! * b[transB ? j * k + p : p * n + j]!;
    }
  }
  return c;
}

function largestError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let error = 0;
  for (let i = 0; i < expected.length; i++) error = Math.max(error, Math.abs(actual[i]! - expected[i]!));
  return error;
}

const transposes = [
  { transA: false, transB: false },
  { transA: false, transB: true },
  { transA: true, transB: false },
  { transA: true, transB: true },
];

describe('gemm', () => {
  const sizes = [
    [1, 1, 1],
    [1, 7, 5],
    [3, 4, 1],
    [17, 1, 33],
    [65, 70, 129],
    [2, 300, 260],
  ] as const;
  it.each(sizes)('multiplies [%i, …] to [%i] over %i in all transposes, and accumulates', (m, n, k) => {
    const [aValues, bValues, cValues] = [normals(m * k, 1), normals(k * n, 2), normals(m * n, 3)];
    const [a, b, c] = [place(aValues), place(bValues), place(cValues)];
    for (const transpose of transposes) {
      const product = { a, b, c, m, n, k, ...transpose };
      const expected = exactProduct(aValues, bValues, product);
      gemm(product);
      expect(largestError(floatsAt(c, m * n), expected)).toBeLessThan(2e-5 * Math.sqrt(k));
      floatsAt(c, m * n).set(cValues);
      gemm({ ...product, accumulate: true });
      const sum = expected.map((value, i) => value + cValues[i]!);
      expect(largestError(floatsAt(c, m * n), sum)).toBeLessThan(2e-5 * Math.sqrt(k));
    }
    for (const offset of [a, b, c]) release(offset);
  });

  it('clears the result, or leaves it, when there is nothing to sum over', () => {
    const c = place(Float64Array.of(1, 2, 3, 4));
    gemm({ a: c, b: c, c, m: 2, n: 2, k: 0, accumulate: true });
    expect([...floatsAt(c, 4)]).toEqual([1, 2, 3, 4]);
    gemm({ a: c, b: c, c, m: 2, n: 2, k: 0 });
    expect([...floatsAt(c, 4)]).toEqual([0, 0, 0, 0]);
    release(c);
  });

  it.each([
    [128, 128],
    [384, 128],
    [128, 384],
    [97, 515],
    [200, 1000],
    [64, 2000],
    [5, 300],
    [1, 64],
  ])('gives each row of [m, %i] over %i the same bits whatever m is', (n, k) => {
    const m = 67;
    const [a, b, c] = [place(normals(m * k, 4)), place(normals(k * n, 5)), place(new Float64Array(m * n))];
    for (const transB of [true, false]) {
      gemm({ a, b, c, m, n, k, transB });
      const all = floatsAt(c, m * n).slice();
      for (const rows of [1, 2, 3, 4, 5, 7, 8, 12, 16, 31, 64]) {
        gemm({ a, b, c, m: rows, n, k, transB });
        expect(floatsAt(c, rows * n).slice()).toEqual(all.slice(0, rows * n));
      }
    }
    for (const offset of [a, b, c]) release(offset);
  });

  it('keeps working when the heap grows', () => {
    const [m, n, k] = [8, 8, 8];
    const [aValues, bValues] = [normals(m * k, 6), normals(k * n, 7)];
    const [a, b, c] = [place(aValues), place(bValues), place(new Float64Array(m * n))];
    gemm({ a, b, c, m, n, k });
    const before = floatsAt(c, m * n).slice();
    const big = allocate(2 ** 28);
    floatsAt(c, m * n).fill(0);
    gemm({ a, b, c, m, n, k });
    expect(floatsAt(c, m * n).slice()).toEqual(before);
    for (const offset of [a, b, c, big]) release(offset);
  });
});

describe('batchedGemm', () => {
  it('multiplies consecutive matrices and scales by alpha', () => {
    const [batch, m, n, k] = [3, 5, 6, 7];
    const [aValues, bValues] = [normals(batch * m * k, 8), normals(batch * k * n, 9)];
    const [a, b, c] = [place(aValues), place(bValues), place(new Float64Array(batch * m * n))];
    for (const transpose of transposes) {
      batchedGemm({ a, b, c, m, n, k, batch, alpha: 0.5, ...transpose });
      for (let i = 0; i < batch; i++) {
        const one = exactProduct(aValues.subarray(i * m * k), bValues.subarray(i * k * n), { m, n, k, ...transpose });
        const expected = one.map((value) => 0.5 * value);
        expect(largestError(floatsAt(c + 4 * i * m * n, m * n), expected)).toBeLessThan(1e-5);
      }
    }
    for (const offset of [a, b, c]) release(offset);
  });
});
