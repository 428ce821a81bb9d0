/** Square matrices of up to a few hundred rows in double precision, row-major: what transforms are made of and inverted with. */
import { RoundoffError } from '#contract/errors.ts';
import type { RandomStream } from '../../data/random-stream.ts';

export function identity(size: number): Float64Array {
  const result = new Float64Array(size * size);
  for (let i = 0; i < size; i++) result[i * size + i] = 1;
  return result;
}

export function transposed(a: Float64Array, size: number): Float64Array {
  const result = new Float64Array(size * size);
  for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) result[j * size + i] = a[i * size + j]!;
  return result;
}

export function product(a: Float64Array, b: Float64Array, size: number): Float64Array {
  const result = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < size; k++) {
      const factor = a[i * size + k]!;
      const [to, from] = [i * size, k * size];
      for (let j = 0; j < size; j++) result[to + j]! += factor * b[from + j]!;
    }
  }
  return result;
}

/** Gauss-Jordan elimination with row pivoting. Throws `numeric` when the matrix is singular or not finite. */
export function inverse(matrix: Float64Array, size: number): Float64Array {
  const a = matrix.slice();
  const result = identity(size);
  for (let column = 0; column < size; column++) {
    const pivot = pivotRow(a, size, column);
    const value = a[pivot * size + column]!;
    if (!(Math.abs(value) > 1e-30)) throw singular(size);
    for (const m of [a, result]) {
      swapRows(m, size, pivot, column);
      for (let j = column * size; j < (column + 1) * size; j++) m[j]! /= value;
    }
    for (let row = 0; row < size; row++) {
      const factor = a[row * size + column]!;
      if (row === column || factor === 0) continue;
      subtractRow(a, size, row, column, factor);
      subtractRow(result, size, row, column, factor);
    }
  }
  return result;
}

/** Random and orthogonal: normal columns, orthogonalised twice (modified Gram and Schmidt), which makes it uniformly distributed. */
export function randomOrthogonal(size: number, stream: RandomStream): Float64Array {
  const rows = Array.from({ length: size }, () => Float64Array.from({ length: size }, () => stream.normal()));
  for (const [index, row] of rows.entries()) {
    for (let pass = 0; pass < 2; pass++) {
      for (const other of rows.slice(0, index)) {
        const along = dot(row, other);
        for (let j = 0; j < size; j++) row[j]! -= along * other[j]!;
      }
    }
    const length = Math.sqrt(dot(row, row));
    for (let j = 0; j < size; j++) row[j]! /= length;
  }
  return Float64Array.from(rows.flatMap((row) => [...row]));
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function pivotRow(a: Float64Array, size: number, column: number): number {
  let best = column;
  for (let row = column + 1; row < size; row++) {
    if (Math.abs(a[row * size + column]!) > Math.abs(a[best * size + column]!)) best = row;
  }
  return best;
}

function swapRows(a: Float64Array, size: number, i: number, j: number): void {
  if (i === j) return;
  for (let column = 0; column < size; column++) {
    const kept = a[i * size + column]!;
    a[i * size + column] = a[j * size + column]!;
    a[j * size + column] = kept;
  }
}

function subtractRow(a: Float64Array, size: number, row: number, other: number, factor: number): void {
  const [to, from] = [row * size, other * size];
  for (let j = 0; j < size; j++) a[to + j]! -= factor * a[from + j]!;
}

function singular(size: number): RoundoffError {
  return new RoundoffError(
    'numeric',
    `A transform of ${size} × ${size} became singular during calibration.`,
    'Lower the learning rate, or calibrate on more text.',
  );
}
