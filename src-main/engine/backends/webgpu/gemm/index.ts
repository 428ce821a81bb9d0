/**
 * Matrix products on the GPU: C = alpha · A · B (+ bias) (+ C), any transposes, batches and sizes; sums are f32 whatever the operands. Operands
 * that one binding does not hold are computed in parts.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { ProductPrecision } from '../../product-precision.ts';
import type { Operand } from '../compute.ts';
import { gpu } from '../device.ts';
import { candidates, type Kernel } from './choose.ts';
import { advance, type ComputedMatrix, type ElementType, fitsBinding, type Span, spanOf } from './operands.ts';
import { type Batch, extents, type Product } from './product.ts';

export type { Batch } from './product.ts';

import { runProduct } from './run.ts';

export interface Gemm {
  /** [m, k], or [k, m] with `transA`. */
  a: Operand;
  /** [k, n], or [n, k] with `transB`. */
  b: Operand | ComputedMatrix;
  /** f32 [m, n]. It must not overlap A or B. */
  c: Operand;
  m: number;
  n: number;
  k: number;
  transA?: boolean;
  transB?: boolean;
  /** Elements from one stored row of an operand to the next; by default rows follow each other. */
  lda?: number;
  ldb?: number;
  ldc?: number;
  /** Element of each operand where its first matrix starts; 0 by default. */
  first?: { a?: number; b?: number; c?: number };
  /** `outer` repeats the whole batch. */
  batch?: Batch & { outer?: Batch };
  /** 1 by default. */
  alpha?: number;
  /** Adds to what C holds. */
  accumulate?: boolean;
  /** f32 [n], added to every row. */
  bias?: Operand;
  /** f32 by default; f16 and bf16 operands are int32 tensors with two values per word, in row-major order. */
  types?: { a?: ElementType; b?: ElementType };
  /** 'half' lets f32 and bf16 operands be rounded to f16 where that is faster; by default as `setProductPrecision` says, at first 'exact'. */
  precision?: ProductPrecision;
  /** By default chosen by shape and measurements. */
  kernel?: Kernel;
}

const once: Batch = { count: 1, strideA: 0, strideB: 0, strideC: 0 };
/** Parts end at multiples of this, so that rows stay readable as vectors and tiles whole. */
const partSize = 64;
/** Rows or columns that a workgroup computes at least. */
const smallestTile = 16;

let defaultPrecision: Product['precision'] = 'exact';

/** The precision of products that name none; f16 operands wherever that is faster, for trainings that allow it. */
export function setProductPrecision(precision: ProductPrecision): void {
  defaultPrecision = precision;
}

export function gemm(spec: Gemm): void {
  const product = productOf(spec);
  if (product.m > 0 && product.n > 0 && product.inner.count > 0 && product.outer.count > 0) inParts(product);
}

/** The kernels that could compute it on this adapter, whole products only: for checks and measurements. */
export function gemmKernels(spec: Gemm): Kernel[] {
  return candidates(productOf(spec));
}

function productOf(spec: Gemm): Product {
  const { m, n, k, transA = false, transB = false, first = {}, batch = { ...once, outer: once } } = spec;
  return {
    a: advance(spanOf(spec.a, spec.types?.a), first.a ?? 0),
    b: 'code' in spec.b ? spec.b : advance(spanOf(spec.b, spec.types?.b), first.b ?? 0),
    c: advance(spanOf(spec.c), first.c ?? 0),
    bias: spec.bias ? spanOf(spec.bias) : null,
    m,
    n,
    k,
    transA,
    transB,
    lda: spec.lda ?? (transA ? m : k),
    ldb: spec.ldb ?? (transB ? k : n),
    ldc: spec.ldc ?? n,
    inner: { count: batch.count, strideA: batch.strideA, strideB: batch.strideB, strideC: batch.strideC },
    outer: batch.outer ?? once,
    alpha: spec.alpha ?? 1,
    accumulate: spec.accumulate ?? false,
    precision: spec.precision ?? defaultPrecision,
    kernel: spec.kernel ?? null,
  };
}

/** Runs the product, halved as often as it takes for one dispatch to hold it. */
function inParts(product: Product): void {
  partition(product)(product);
}

/** What to do with a product: run it, or halve it along one of its sizes. */
function partition(product: Product): (product: Product) => void {
  const { limits } = gpu().device;
  const { inner, outer, m, n, a, b, c, transA, transB } = product;
  const extent = extents(product);
  const [largeA, largeB, largeC] = [
    !fitsBinding(a, extent.a, limits),
    !('code' in b) && !fitsBinding(b, extent.b, limits),
    !fitsBinding(c, extent.c, limits),
  ];
  const mostGroups = limits.maxComputeWorkgroupsPerDimension;
  const most = smallestTile * mostGroups;
  if (!largeA && !largeB && !largeC && inner.count * outer.count <= mostGroups && m <= most && n <= most) return runProduct;
  if (outer.count > 1) return (whole) => halveBatch(whole, 'outer');
  if (inner.count > 1) return (whole) => halveBatch(whole, 'inner');
  if (largeA) return transA ? halveK : halveM;
  if (largeB) return transB ? halveN : halveK;
  return m > most || (largeC && m > partSize) ? halveM : halveN;
}

function halveBatch(product: Product, level: 'inner' | 'outer'): void {
  const batch = product[level];
  const count = Math.ceil(batch.count / 2);
  inParts({ ...product, [level]: { ...batch, count } });
  inParts({
    ...product,
    a: advance(product.a, count * batch.strideA),
    b: advanceB(product.b, count * batch.strideB),
    c: advance(product.c, count * batch.strideC),
    [level]: { ...batch, count: batch.count - count },
  });
}

function halveM(product: Product): void {
  const { m, a, c, lda, ldc, transA } = product;
  const first = half(m);
  inParts({ ...product, m: first });
  inParts({ ...product, m: m - first, a: advance(a, transA ? first : first * lda), c: advance(c, first * ldc) });
}

function halveN(product: Product): void {
  const { n, b, c, bias, ldb, transB } = product;
  const first = half(n);
  inParts({ ...product, n: first });
  const rest = { b: advanceB(b, transB ? first * ldb : first), c: advance(c, first), bias: bias && advance(bias, first) };
  inParts({ ...product, ...rest, n: n - first });
}

function halveK(product: Product): void {
  const { k, a, b, lda, ldb, transA, transB } = product;
  const first = half(k);
  inParts({ ...product, k: first });
  const rest = { a: advance(a, transA ? first * lda : first), b: advanceB(b, transB ? first : first * ldb) };
  inParts({ ...product, ...rest, k: k - first, bias: null, accumulate: true });
}

function half(count: number): number {
  return count > partSize ? partSize * Math.ceil(count / 2 / partSize) : Math.ceil(count / 2);
}

/** @throws RoundoffError `unsupported` for a computed matrix, which is read from its beginning only */
function advanceB(b: Product['b'], elements: number): Span | ComputedMatrix {
  if (!('code' in b)) return advance(b, elements);
  if (elements === 0) return b;
  throw new RoundoffError(
    'unsupported',
    `A product with packed weights is larger than the GPU ${gpu().name} binds at once.`,
    'Lower the batch size, or choose the wasm backend.',
  );
}
