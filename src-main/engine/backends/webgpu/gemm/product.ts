/** A matrix product whose operands are placed in buffers. */
import type { ProductPrecision } from '../../product-precision.ts';
import type { Kernel } from './choose.ts';
import type { ComputedMatrix, Span } from './operands.ts';

/** Elements from one item of a batch to the next; 0 repeats an operand. */
export interface Batch {
  count: number;
  strideA: number;
  strideB: number;
  strideC: number;
}

/** A product whose operands are placed: what `run` computes in one dispatch, or two. */
export interface Product {
  a: Span;
  b: Span | ComputedMatrix;
  c: Span;
  bias: Span | null;
  m: number;
  n: number;
  k: number;
  transA: boolean;
  transB: boolean;
  lda: number;
  ldb: number;
  ldc: number;
  inner: Batch;
  outer: Batch;
  alpha: number;
  accumulate: boolean;
  precision: ProductPrecision;
  kernel: Kernel | null;
}

/** Elements from an operand's first to its last. */
export function extents({ m, n, k, transA, transB, lda, ldb, ldc, inner, outer }: Product): { a: number; b: number; c: number } {
  const last = (stride: 'strideA' | 'strideB' | 'strideC') => (inner.count - 1) * inner[stride] + (outer.count - 1) * outer[stride];
  const matrix = (rows: number, columns: number, ld: number) => (rows - 1) * ld + columns;
  return {
    a: last('strideA') + (transA ? matrix(k, m, lda) : matrix(m, k, lda)),
    b: last('strideB') + (transB ? matrix(n, k, ldb) : matrix(k, n, ldb)),
    c: last('strideC') + matrix(m, n, ldc),
  };
}
