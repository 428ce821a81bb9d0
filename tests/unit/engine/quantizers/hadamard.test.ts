import { describe, expect, it } from 'vitest';
import { hadamardFactors, hadamardMatrix, hadamardOrder } from '../../../../src-main/engine/quantizers/hadamard.ts';
import { rotateOutputs, rotateRows, rotationOf } from '../../../../src-main/engine/quantizers/rotation.ts';
import { normals } from '../ops/op-check.ts';

describe('hadamardMatrix', () => {
  it.each([1, 2, 4, 64, 12, 20, 28, 36, 40, 60, 76, 108, 140, 24, 72, 384])('of size %d has entries ±1 and HHᵀ = nI', (size) => {
    const { values } = hadamardMatrix(size);
    expect(values.every((value) => value === 1 || value === -1)).toBe(true);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j <= i; j++) {
        let dot = 0;
        for (let k = 0; k < size; k++) dot += values[i * size + k]! * values[j * size + k]!;
        if (dot !== (i === j ? size : 0)) expect.fail(`rows ${i} and ${j}: ${dot}`);
      }
    }
  });

  it('knows no matrix of other sizes', () => {
    for (const size of [3, 5, 6, 14, 22, 52, 0, 2.5]) expect(hadamardOrder(size), String(size)).toBeNull();
    expect(() => hadamardMatrix(14)).toThrow(RangeError);
  });
});

describe('hadamardFactors', () => {
  /** Hidden sizes, MLPs and head counts of Qwen3, Qwen2 and Llama models. */
  it.each([1024, 3072, 2560, 9728, 1536, 8960, 2048, 4096, 12288, 3584, 18944, 6144, 17408, 5120, 14336, 8192, 28672, 12, 16, 28, 40])(
    'splits %d into two orthogonal matrices of like sizes',
    (size) => {
      const { rows, columns, left, right } = hadamardFactors(size)!;
      expect(rows * columns).toBe(size);
      expect(rows + columns).toBeLessThan(5.5 * Math.sqrt(size));
      for (const [n, matrix] of [
        [rows, left],
        [columns, right],
      ] as const) {
        for (const [i, j] of [
          [0, 0],
          [n - 1, n - 1],
          [0, n - 1],
          [n >> 1, 0],
        ] as const) {
          let dot = 0;
          for (let k = 0; k < n; k++) dot += matrix[i * n + k]! * matrix[j * n + k]!;
          expect(Math.abs(dot - (i === j ? 1 : 0))).toBeLessThan(1e-12);
        }
      }
    },
  );

  it('are a Hadamard matrix together', () => {
    const { rows, columns, left, right } = hadamardFactors(48)!;
    const entry = Math.sqrt(1 / 48);
    for (const a of left) for (const b of right) expect(Math.abs(a * b)).toBeCloseTo(entry, 12);
    expect([rows, columns]).toEqual([12, 4]);
  });
});

describe('rotations', () => {
  it('multiply rows by left ⊗ right, entry by entry', () => {
    const factors = hadamardFactors(48)!;
    const { rows, columns, left, right } = factors;
    const signs = Float64Array.from({ length: 48 }, (_, i) => (i % 3 === 0 ? -1 : 1));
    const x = normals(2 * 48, 1);
    const y = x.slice();
    rotateRows(y, rotationOf(factors, signs));
    for (let row = 0; row < 2; row++) {
      for (let k = 0; k < 48; k++) {
        let expected = 0;
        for (let i = 0; i < 48; i++) {
          const entry = left[Math.floor(i / columns) * rows + Math.floor(k / columns)]! * right[(i % columns) * columns + (k % columns)]!;
          expected += x[row * 48 + i]! * signs[i]! * entry;
        }
        expect(Math.abs(y[row * 48 + k]! - expected)).toBeLessThan(1e-12);
      }
    }
  });

  it('of outputs give the outputs’ rotation: x·Wᵀ rotated is x·W′ᵀ', () => {
    const rotation = rotationOf(hadamardFactors(8)!);
    const [x, weight] = [normals(5, 2), normals(16 * 5, 3)];
    const apply = (w: Float64Array) => Float64Array.from({ length: 16 }, (_, o) => x.reduce((sum, v, i) => sum + v * w[o * 5 + i]!, 0));
    const expected = apply(weight);
    rotateRows(expected, rotation);
    const rotated = weight.slice();
    rotateOutputs(rotated, 16, rotation);
    apply(rotated).forEach((value, o) => {
      expect(Math.abs(value - expected[o]!)).toBeLessThan(1e-12);
    });
  });
});
