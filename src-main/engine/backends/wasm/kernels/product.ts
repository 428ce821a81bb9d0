/**
 * Small matrix products on strided operands, for attention heads: too small and too scattered for the native GEMM. Every element of C is one
 * chain of fused multiply-adds over k in order, so results do not depend on how a matrix is cut into blocks.
 */
import { at, fma } from './math';

/**
 * C[rows, columns] (+)= Σₖ A(r,k) · B[k, columns], columns a multiple of 4. Strides count floats: A(r,k) lies at a + r·aRow + k·aStep, row k
 * of B at b + k·bRow, row r of C at c + r·cRow.
 */
export function product(
  a: usize,
  aRow: i32,
  aStep: i32,
  b: usize,
  bRow: i32,
  c: usize,
  cRow: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  accumulate: bool,
): void {
  let r = 0;
  for (; r + 4 <= rows; r += 4) {
    let j = 0;
    for (; j + 8 <= columns; j += 8)
      fourByEight(at(a, r * aRow), aRow, aStep, at(b, j), bRow, at(c, r * cRow + j), cRow, depth, accumulate);
    if (j < columns) fourByFour(at(a, r * aRow), aRow, aStep, at(b, j), bRow, at(c, r * cRow + j), cRow, depth, accumulate);
  }
  for (; r < rows; r++) {
    let j = 0;
    for (; j + 16 <= columns; j += 16) oneBySixteen(at(a, r * aRow), aStep, at(b, j), bRow, at(c, r * cRow + j), depth, accumulate);
    for (; j < columns; j += 4) oneByFour(at(a, r * aRow), aStep, at(b, j), bRow, at(c, r * cRow + j), depth, accumulate);
  }
}

function fourByEight(a: usize, aRow: i32, aStep: i32, b: usize, bRow: i32, c: usize, cRow: i32, depth: i32, accumulate: bool): void {
  let a0 = a;
  let a1 = at(a, aRow);
  let a2 = at(a, 2 * aRow);
  let a3 = at(a, 3 * aRow);
  const c1 = at(c, cRow);
  const c2 = at(c, 2 * cRow);
  const c3 = at(c, 3 * cRow);
  const zero = f32x4.splat(0);
  let r00 = accumulate ? v128.load(c) : zero;
  let r01 = accumulate ? v128.load(c, 16) : zero;
  let r10 = accumulate ? v128.load(c1) : zero;
  let r11 = accumulate ? v128.load(c1, 16) : zero;
  let r20 = accumulate ? v128.load(c2) : zero;
  let r21 = accumulate ? v128.load(c2, 16) : zero;
  let r30 = accumulate ? v128.load(c3) : zero;
  let r31 = accumulate ? v128.load(c3, 16) : zero;
  const aBytes = (<usize>aStep) << 2;
  const bBytes = (<usize>bRow) << 2;
  for (let k = 0; k < depth; k++) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const x0 = v128.load32_splat(a0);
    r00 = fma(x0, b0, r00);
    r01 = fma(x0, b1, r01);
    const x1 = v128.load32_splat(a1);
    r10 = fma(x1, b0, r10);
    r11 = fma(x1, b1, r11);
    const x2 = v128.load32_splat(a2);
    r20 = fma(x2, b0, r20);
    r21 = fma(x2, b1, r21);
    const x3 = v128.load32_splat(a3);
    r30 = fma(x3, b0, r30);
    r31 = fma(x3, b1, r31);
    a0 += aBytes;
    a1 += aBytes;
    a2 += aBytes;
    a3 += aBytes;
    b += bBytes;
  }
  v128.store(c, r00);
  v128.store(c, r01, 16);
  v128.store(c1, r10);
  v128.store(c1, r11, 16);
  v128.store(c2, r20);
  v128.store(c2, r21, 16);
  v128.store(c3, r30);
  v128.store(c3, r31, 16);
}

function fourByFour(a: usize, aRow: i32, aStep: i32, b: usize, bRow: i32, c: usize, cRow: i32, depth: i32, accumulate: bool): void {
  for (let r = 0; r < 4; r++) oneByFour(at(a, r * aRow), aStep, b, bRow, at(c, r * cRow), depth, accumulate);
}

/** Four chains that do not wait for each other. */
function oneBySixteen(a: usize, aStep: i32, b: usize, bRow: i32, c: usize, depth: i32, accumulate: bool): void {
  const zero = f32x4.splat(0);
  let r0 = accumulate ? v128.load(c) : zero;
  let r1 = accumulate ? v128.load(c, 16) : zero;
  let r2 = accumulate ? v128.load(c, 32) : zero;
  let r3 = accumulate ? v128.load(c, 48) : zero;
  for (let k = 0; k < depth; k++) {
    const x = v128.load32_splat(at(a, k * aStep));
    const row = at(b, k * bRow);
    r0 = fma(x, v128.load(row), r0);
    r1 = fma(x, v128.load(row, 16), r1);
    r2 = fma(x, v128.load(row, 32), r2);
    r3 = fma(x, v128.load(row, 48), r3);
  }
  v128.store(c, r0);
  v128.store(c, r1, 16);
  v128.store(c, r2, 32);
  v128.store(c, r3, 48);
}

function oneByFour(a: usize, aStep: i32, b: usize, bRow: i32, c: usize, depth: i32, accumulate: bool): void {
  let sum = accumulate ? v128.load(c) : f32x4.splat(0);
  for (let k = 0; k < depth; k++) sum = fma(v128.load32_splat(at(a, k * aStep)), v128.load(at(b, k * bRow)), sum);
  v128.store(c, sum);
}

/**
 * Writes the transpose of x[rows, columns] (row stride xRow) as y[columns, yRow], columns a multiple of 4, filling each row of y with zeros
 * behind `rows`.
 */
export function transposeInto(x: usize, xRow: i32, y: usize, yRow: i32, rows: i32, columns: i32): void {
  const whole = rows & ~3;
  for (let j = 0; j < columns; j += 4) {
    for (let i = 0; i < whole; i += 4) {
      const from = at(x, i * xRow + j);
      const r0 = v128.load(from);
      const r1 = v128.load(at(from, xRow));
      const r2 = v128.load(at(from, 2 * xRow));
      const r3 = v128.load(at(from, 3 * xRow));
      const low01 = i32x4.shuffle(r0, r1, 0, 4, 1, 5);
      const high01 = i32x4.shuffle(r0, r1, 2, 6, 3, 7);
      const low23 = i32x4.shuffle(r2, r3, 0, 4, 1, 5);
      const high23 = i32x4.shuffle(r2, r3, 2, 6, 3, 7);
      const to = at(y, j * yRow + i);
      v128.store(to, i64x2.shuffle(low01, low23, 0, 2));
      v128.store(at(to, yRow), i64x2.shuffle(low01, low23, 1, 3));
      v128.store(at(to, 2 * yRow), i64x2.shuffle(high01, high23, 0, 2));
      v128.store(at(to, 3 * yRow), i64x2.shuffle(high01, high23, 1, 3));
    }
    for (let column = j; column < j + 4; column++) {
      for (let i = whole; i < yRow; i++) store<f32>(at(y, column * yRow + i), i < rows ? load<f32>(at(x, i * xRow + column)) : 0);
    }
  }
}
