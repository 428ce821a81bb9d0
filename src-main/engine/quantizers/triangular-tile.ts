/**
 * Cholesky factor and inverse of one small dense tile in float64: the part of the blocked factorisation that is no matrix product.
 * Inner loops run along rows and their steps do not wait for each other.
 */

/** Replaces the lower triangle of `a` [n, n] by M with MMᵀ = A and reads nothing else. False when a pivot is not a positive number. */
export function choleskyTile(a: Float64Array, n: number): boolean {
  const column = new Float64Array(n);
  for (let k = 0; k < n; k++) {
    const square = a[k * n + k]!;
    if (!(square > 0) || square === Number.POSITIVE_INFINITY) return false;
    const pivot = Math.sqrt(square);
    a[k * n + k] = pivot;
    for (let i = k + 1; i < n; i++) {
      const row = i * n;
      const factor = a[row + k]! / pivot;
      a[row + k] = factor;
      column[i] = factor;
      for (let j = k + 1; j <= i; j++) a[row + j]! -= factor * column[j]!;
    }
  }
  return true;
}

/** Writes the inverse of the lower triangle of `m` [n, n] to `inverse` [n, n], which holds zeros. */
export function invertTile(inverse: Float64Array, m: Float64Array, n: number): void {
  for (let i = 0; i < n; i++) {
    const row = i * n;
    const pivot = 1 / m[row + i]!;
    for (let k = 0; k < i; k++) {
      const factor = m[row + k]! * pivot;
      for (let j = 0; j <= k; j++) inverse[row + j]! -= factor * inverse[k * n + j]!;
    }
    inverse[row + i] = pivot;
  }
}
