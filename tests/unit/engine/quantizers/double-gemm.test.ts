import { describe, expect, it } from 'vitest';
import { assignProduct, deepest, type Product, subtractProduct } from '../../../../src-main/engine/quantizers/double-gemm.ts';
import { normals } from './matrices.ts';

function entry({ a, b, rows, columns, depth, transA, transB }: Product, row: number, column: number): number {
  let sum = 0;
  for (let k = 0; k < depth; k++)
    sum += a[transA ? k * rows + row : row * depth + k]! * b[transB ? column * depth + k : k * columns + column]!;
  return sum;
}

describe('products in float64', () => {
  const cases = [false, true].flatMap((transA) => [false, true].map((transB) => ({ transA, transB })));

  it.each(cases)('%j: are assigned and subtracted for every shape', ({ transA, transB }) => {
    const shapes = [
      [1, 1, 1],
      [1, 37, 5],
      [41, 1, 128],
      [3, 5, 7],
      [150, 70, 33],
      [64, 130, 300],
    ] as const;
    for (const [rows, columns, depth] of shapes) {
      const [a, b] = [Float64Array.from(normals(rows * depth, 1)), Float64Array.from(normals(depth * columns, 2))];
      const start = Float64Array.from(normals(rows * columns, 3));
      const product = { a, b, rows, columns, depth, transA, transB };
      const assigned = start.slice();
      assignProduct(assigned, product);
      const subtracted = start.slice();
      subtractProduct(subtracted, product);
      for (let i = 0; i < start.length; i++) {
        const expected = entry(product, Math.floor(i / columns), i % columns);
        expect(Math.abs(assigned[i]! - expected)).toBeLessThan(1e-12);
        expect(Math.abs(subtracted[i]! - (start[i]! - expected))).toBeLessThan(1e-12);
      }
    }
  });

  it('work on views and leave their surroundings alone', () => {
    const memory = new Float64Array(20).fill(7);
    memory.set([1, 2, 3, 4], 5);
    const product = { a: memory.subarray(5), b: Float64Array.of(1, 0, 0, 1), rows: 2, columns: 2, depth: 2 };
    assignProduct(memory.subarray(12), product);
    expect(Array.from(memory)).toEqual([7, 7, 7, 7, 7, 1, 2, 3, 4, 7, 7, 7, 1, 2, 3, 4, 7, 7, 7, 7]);
  });

  it('have the same bits wherever rows and columns are cut, as threads cut them', () => {
    const [rows, columns] = [300, 200];
    const [a, b] = [Float64Array.from(normals(rows * deepest, 4)), Float64Array.from(normals(columns * deepest, 5))];
    const start = Float64Array.from(normals(rows * columns, 6));
    const whole = start.slice();
    subtractProduct(whole, { a, b, rows, columns, depth: deepest, transB: true });
    for (const [top, bottom] of [
      [0, 1],
      [1, 5],
      [5, 170],
      [170, 300],
    ] as const) {
      const part = start.slice(top * columns, bottom * columns);
      subtractProduct(part, { a: a.subarray(top * deepest), b, rows: bottom - top, columns, depth: deepest, transB: true });
      expect(part).toEqual(whole.slice(top * columns, bottom * columns));
    }
    for (const [left, right] of [
      [0, 16],
      [16, 96],
      [96, 200],
    ] as const) {
      const width = right - left;
      const part = Float64Array.from({ length: rows * width }, (_, i) => start[Math.floor(i / width) * columns + left + (i % width)]!);
      subtractProduct(part, { a, b: b.subarray(left * deepest), rows, columns: width, depth: deepest, transB: true });
      expect(part).toEqual(Float64Array.from(part, (_, i) => whole[Math.floor(i / width) * columns + left + (i % width)]!));
    }
  });
});
