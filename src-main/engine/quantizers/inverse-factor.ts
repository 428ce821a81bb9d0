/**
 * The upper factor U of an inverse, UᵀU = A⁻¹, for a symmetric positive definite A: what GPTQ walks along (Frantar et al. 2022,
 * "Cholesky reformulation"). With A reversed in both axes, A' = MMᵀ and U is M⁻¹ reversed, so one Cholesky factorisation and one
 * triangular inverse suffice; A⁻¹ itself is never formed. Float64, blocked, all inner loops run along rows.
 */

const blockSize = 32;

/** First index, and one past the last. */
type Range = readonly [number, number];

/** U [n, n] row-major with UᵀU = A⁻¹, or null when A [n, n] is not positive definite. `a` is left as it is. */
export function inverseUpperFactor(a: Float64Array, n: number): Float64Array | null {
  const lower = a.slice().reverse();
  if (!choleskyInPlace(lower, n)) return null;
  return invertLower(lower, n).reverse();
}

/** Replaces the lower triangle of `a` by M with MMᵀ = A. False when a pivot is not a positive number. */
function choleskyInPlace(a: Float64Array, n: number): boolean {
  for (let start = 0; start < n; start += blockSize) {
    const end = Math.min(start + blockSize, n);
    subtractProducts(a, a, a, n, [start, n], [start, end], [0, start]);
    for (let i = start; i < n; i++) {
      const row = i * n;
      const last = Math.min(i, end - 1);
      for (let j = start; j <= last; j++) {
        let sum = a[row + j]!;
        for (let k = start; k < j; k++) sum -= a[row + k]! * a[j * n + k]!;
        if (j < i) {
          a[row + j] = sum / a[j * n + j]!;
        } else {
          if (!(sum > 0) || sum === Number.POSITIVE_INFINITY) return false;
          a[row + j] = Math.sqrt(sum);
        }
      }
    }
  }
  return true;
}

/**
 * The inverse N of the lower triangle of `m`. Its transpose is kept beside it, so that N[i, j] = −Σ_k M[i, k] N[k, j] / M[i, i]
 * is a product of two rows.
 */
function invertLower(m: Float64Array, n: number): Float64Array {
  const inverse = new Float64Array(n * n);
  const transposed = new Float64Array(n * n);
  for (let start = 0; start < n; start += blockSize) {
    const end = Math.min(start + blockSize, n);
    for (let column = 0; column < start; column += blockSize) {
      // Row j of the transpose is 0 before its diagonal, so the products may begin at the block's first column.
      subtractProducts(inverse, m, transposed, n, [start, end], [column, column + blockSize], [column, start]);
    }
    for (let i = start; i < end; i++) {
      const row = i * n;
      const pivot = 1 / m[row + i]!;
      for (let j = 0; j < i; j++) {
        let sum = inverse[row + j]!;
        for (let k = Math.max(start, j); k < i; k++) sum -= m[row + k]! * transposed[j * n + k]!;
        inverse[row + j] = sum * pivot;
        transposed[j * n + i] = sum * pivot;
      }
      inverse[row + i] = pivot;
      transposed[row + i] = pivot;
    }
  }
  return inverse;
}

/**
 * target[i, j] −= Σ_k left[i, k] · right[j, k] for i in `rows`, j in `columns`, k in `depth`; all matrices have row length n.
 * Tiles of 2 × 4 sums keep the operands in registers; at the edges a tile repeats its last row or column and drops the copies.
 */
function subtractProducts(
  target: Float64Array,
  left: Float64Array,
  right: Float64Array,
  n: number,
  rows: Range,
  columns: Range,
  depth: Range,
): void {
  const [depthStart, depthEnd] = depth;
  if (depthStart === depthEnd) return;
  for (let i = rows[0]; i < rows[1]; i += 2) {
    const first = i * n;
    const second = Math.min(i + 1, rows[1] - 1) * n;
    for (let j = columns[0]; j < columns[1]; j += 4) {
      const c0 = j * n;
      const c1 = Math.min(j + 1, columns[1] - 1) * n;
      const c2 = Math.min(j + 2, columns[1] - 1) * n;
      const c3 = Math.min(j + 3, columns[1] - 1) * n;
      let s00 = 0;
      let s01 = 0;
      let s02 = 0;
      let s03 = 0;
      let s10 = 0;
      let s11 = 0;
      let s12 = 0;
      let s13 = 0;
      for (let k = depthStart; k < depthEnd; k++) {
        const x = left[first + k]!;
        const y = left[second + k]!;
        const b0 = right[c0 + k]!;
        const b1 = right[c1 + k]!;
        const b2 = right[c2 + k]!;
        const b3 = right[c3 + k]!;
        s00 += x * b0;
        s01 += x * b1;
        s02 += x * b2;
        s03 += x * b3;
        s10 += y * b0;
        s11 += y * b1;
        s12 += y * b2;
        s13 += y * b3;
      }
      const width = columns[1] - j;
      target[first + j]! -= s00;
      if (width > 1) target[first + j + 1]! -= s01;
      if (width > 2) target[first + j + 2]! -= s02;
      if (width > 3) target[first + j + 3]! -= s03;
      if (second === first) continue;
      target[second + j]! -= s10;
      if (width > 1) target[second + j + 1]! -= s11;
      if (width > 2) target[second + j + 2]! -= s12;
      if (width > 3) target[second + j + 3]! -= s13;
    }
  }
}
