import { describe, expect, it } from 'vitest';
import { blockHadamardFactors, hadamardFactors, hadamardMatrix, hadamardOrder } from '../../../../src-main/engine/quantizers/hadamard.ts';
import { rotateOutputs, rotateRows, rotationOf } from '../../../../src-main/engine/quantizers/rotation.ts';
import { normals } from '../ops/op-check.ts';

function expectOrthogonal(matrix: Float64Array, size: number): void {
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let dot = 0;
      for (let k = 0; k < size; k++) dot += matrix[i * size + k]! * matrix[j * size + k]!;
      if (Math.abs(dot - Number(i === j)) > 1e-12) expect.fail(`rows ${i} and ${j} of ${size}: ${dot}`);
    }
  }
}

describe('hadamardMatrix', () => {
  it.each([1, 2, 4, 64, 12, 20, 28, 36, 40, 44, 60, 68, 76, 108, 140, 148, 200, 24, 72, 384])(
    'of size %d has entries ±1 and HHᵀ = nI',
    (size) => {
      const { values } = hadamardMatrix(size);
      expect(values.every((value) => value === 1 || value === -1)).toBe(true);
      for (let i = 0; i < size; i++) {
        for (let j = 0; j <= i; j++) {
          let dot = 0;
          for (let k = 0; k < size; k++) dot += values[i * size + k]! * values[j * size + k]!;
          if (dot !== (i === j ? size : 0)) expect.fail(`rows ${i} and ${j}: ${dot}`);
        }
      }
    },
  );

  it('knows no matrix of other sizes', () => {
    for (const size of [3, 5, 6, 14, 22, 52, 0, 2.5]) expect(hadamardOrder(size), String(size)).toBeNull();
    expect(() => hadamardMatrix(14)).toThrow(RangeError);
  });
});

describe('hadamardFactors', () => {
  /** Hidden sizes, MLPs and head counts of Qwen3, Qwen2 and Llama models. */
  it.each([
    1024, 3072, 2560, 9728, 1536, 8960, 2048, 4096, 12288, 3584, 18944, 6144, 17408, 5120, 14336, 8192, 28672, 13824, 4864, 25600, 5632,
    896, 12, 16, 28, 40,
  ])('splits %d into two orthogonal matrices of like sizes', (size) => {
    const { rows, columns, left, right } = hadamardFactors(size)!;
    expect(rows * columns).toBe(size);
    expect(rows + columns).toBeLessThan(5.5 * Math.sqrt(size));
    expectOrthogonal(left, rows);
    expectOrthogonal(right, columns);
  });

  it('are a Hadamard matrix together', () => {
    const { rows, columns, left, right } = hadamardFactors(48)!;
    const entry = Math.sqrt(1 / 48);
    for (const a of left) for (const b of right) expect(Math.abs(a * b)).toBeCloseTo(entry, 12);
    expect([rows, columns]).toEqual([12, 4]);
  });
});

describe('blockHadamardFactors', () => {
  it.each([1024, 384, 9728, 8960])('of %d are one block, where a Hadamard matrix is known', (size) => {
    expect(blockHadamardFactors(size)).toEqual({ blocks: 1, ...hadamardFactors(size)! });
  });

  // 11008 = 2 · 5504 (Qwen2.5-3B, Llama 2 7B): Paley's matrix of 5504 exists, but no layer should multiply by so large a factor.
  it.each([
    [11008, 43, 86, 128],
    [22016, 43, 172, 128],
    [52, 13, 13, 4],
    [92, 23, 23, 4],
    [6, 3, 3, 2],
  ])('of %d are %d blocks in factors of %d and %d', (size, blocks, rows, columns) => {
    expect(hadamardFactors(size)).toBeNull();
    const factors = blockHadamardFactors(size)!;
    expect(factors).toMatchObject({ blocks, rows, columns });
    expect(rows * columns).toBe(size);
    expectOrthogonal(factors.right, columns);
    if (factors.left) expectOrthogonal(factors.left, rows);
    else expect(rows).toBe(blocks);
  });

  it('are Hadamard matrices on a diagonal: equal magnitudes within a block, zeros outside', () => {
    const [size, block] = [11008, 256];
    const { rows, columns, left, right } = blockHadamardFactors(size)!;
    for (const i of [0, 255, 256, 5000, 11007]) {
      for (let j = 0; j < size; j++) {
        const entry = left![Math.floor(i / columns) * rows + Math.floor(j / columns)]! * right[(i % columns) * columns + (j % columns)]!;
        const expected = Math.floor(i / block) === Math.floor(j / block) ? 1 / 16 : 0;
        if (Math.abs(Math.abs(entry) - expected) > 1e-15) expect.fail(`entry ${i}, ${j} is ${entry}`);
      }
    }
  });

  it('do not exist for odd sizes', () => {
    for (const size of [3, 7, 33, 11009]) expect(blockHadamardFactors(size), String(size)).toBeNull();
  });
});

describe('rotations', () => {
  // 280 has a factor of 140, deeper than the native product keeps in one slice.
  it.each([48, 280])('multiply rows of %d by left ⊗ right, entry by entry', (size) => {
    const factors = hadamardFactors(size)!;
    const { rows, columns, left, right } = factors;
    const signs = Float64Array.from({ length: size }, (_, i) => (i % 3 === 0 ? -1 : 1));
    const x = normals(2 * size, 1);
    const y = x.slice();
    rotateRows(y, rotationOf(factors, signs));
    for (let row = 0; row < 2; row++) {
      for (let k = 0; k < size; k++) {
        let expected = 0;
        for (let i = 0; i < size; i++) {
          const entry = left[Math.floor(i / columns) * rows + Math.floor(k / columns)]! * right[(i % columns) * columns + (k % columns)]!;
          expected += x[row * size + i]! * signs[i]! * entry;
        }
        expect(Math.abs(y[row * size + k]! - expected)).toBeLessThan(1e-12);
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
