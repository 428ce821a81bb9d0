/**
 * Rows times a Kronecker product of two small matrices, and all its gradients in one pass over the rows. A row seen as X [n1, n2] becomes
 * leftᵀ · X · right; a matrix at address 0 stands for the identity. n2 must be a multiple of 4. Every row is computed alone and in one order.
 */
import { at } from './math';
import { product, transposeInto } from './product';

/** Rows whose share of the matrices' gradients is summed on its own, so that the sum does not depend on the number of threads. */
export const kroneckerBlockRows: i32 = 64;

/** n1 rounded up to whole vectors: the row length of `left`'s gradient. */
function padded(n1: i32): i32 {
  return (n1 + 3) & ~3;
}

/** Bytes of scratch a thread needs for either pass. */
export function kroneckerScratch(n1: i32, n2: i32): usize {
  return (<usize>(3 * n1 * n2 + padded(n1) * n2 + n2 * n2)) << 2;
}

/** Floats of a block's gradients: of `left` [n1, padded n1], then of `right` [n2, n2]. */
export function kroneckerGradients(n1: i32, n2: i32): i32 {
  return n1 * padded(n1) + n2 * n2;
}

/** x, y [rows, n1 · n2]. Items are rows; each thread has its own scratch. */
export function kroneckerForward(
  thread: i32,
  from: i32,
  to: i32,
  x: usize,
  left: usize,
  right: usize,
  y: usize,
  scratch: usize,
  n1: i32,
  n2: i32,
): void {
  const size = n1 * n2;
  const middle = scratch + <usize>thread * kroneckerScratch(n1, n2);
  for (let row = from; row < to; row++) {
    const source = at(x, row * size);
    const target = at(y, row * size);
    const mixed = right === 0 ? source : left === 0 ? target : middle;
    if (right !== 0) product(source, n2, 1, right, n2, mixed, n2, n1, n2, n2, false);
    if (left !== 0) product(left, 1, n1, mixed, n2, target, n2, n1, n2, n1, false);
  }
}

/**
 * dx = left · dY · rightᵀ; per block of rows, dLeft = Σ (X · right) · dYᵀ and dRight = Σ (leftᵀ · X)ᵀ · dY. Items are blocks of
 * `kroneckerBlockRows` rows; gradients [blocks, kroneckerGradients].
 */
export function kroneckerBackward(
  thread: i32,
  from: i32,
  to: i32,
  x: usize,
  left: usize,
  right: usize,
  dy: usize,
  dx: usize,
  gradients: usize,
  scratch: usize,
  rows: i32,
  n1: i32,
  n2: i32,
): void {
  const size = n1 * n2;
  const n1Padded = padded(n1);
  const base = scratch + <usize>thread * kroneckerScratch(n1, n2);
  const rightX = base;
  const leftX = at(base, size);
  const dMiddle = at(base, 2 * size);
  const dyT = at(base, 3 * size);
  const rightT = at(dyT, n1Padded * n2);
  if (right !== 0) transposeInto(right, n2, rightT, n2, n2, n2);
  for (let block = from; block < to; block++) {
    const dLeft = at(gradients, block * kroneckerGradients(n1, n2));
    const dRight = at(dLeft, n1 * n1Padded);
    memory.fill(dLeft, 0, (<usize>kroneckerGradients(n1, n2)) << 2);
    const last = min((block + 1) * kroneckerBlockRows, rows);
    for (let row = block * kroneckerBlockRows; row < last; row++) {
      const source = at(x, row * size);
      const above = at(dy, row * size);
      const below = at(dx, row * size);
      if (left !== 0) {
        if (right !== 0) product(source, n2, 1, right, n2, rightX, n2, n1, n2, n2, false);
        transposeInto(above, n2, dyT, n1Padded, n1, n2);
        product(right === 0 ? source : rightX, n2, 1, dyT, n1Padded, dLeft, n1Padded, n1, n1Padded, n2, true);
      }
      if (right !== 0) {
        if (left !== 0) product(left, 1, n1, source, n2, leftX, n2, n1, n2, n1, false);
        product(left === 0 ? source : leftX, 1, n2, above, n2, dRight, n2, n2, n2, n1, true);
      }
      const mixed = right === 0 ? above : left === 0 ? below : dMiddle;
      if (right !== 0) product(above, n2, 1, rightT, n2, mixed, n2, n1, n2, n2, false);
      if (left !== 0) product(left, n1, 1, mixed, n2, below, n2, n1, n2, n1, false);
    }
  }
}
