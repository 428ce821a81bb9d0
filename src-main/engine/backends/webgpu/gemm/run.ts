/** Chooses the shader for one product that a dispatch can hold, and records it. */
import { dispatch } from '../compute.ts';
import { gpu } from '../device.ts';
import { bindSpan, storedAs } from './operands.ts';
import { plainKernel, plainKernelName, plainTile } from './plain-kernel.ts';
import { extents, type Product } from './product.ts';
import { type TileShape, tileKernel, tileKernelName, type Variant } from './tile-kernel.ts';

const smallTile: TileShape = { tileM: 32, tileN: 32, tileK: 16, blockM: 4, blockN: 4 };
const tile: TileShape = { tileM: 64, tileN: 64, tileK: 16, blockM: 8, blockN: 4 };

export function runProduct(product: Product): void {
  if (gpu().software) runPlain(product);
  else runTiles(product, product.m <= 32 || product.n <= 32 ? smallTile : tile);
}

function runPlain(product: Product): void {
  const variant = { ...variantOf(product), vectorA: false, vectorB: false, vectorC: false };
  const { transA, transB, lda, ldb } = product;
  const { integers, ...rest } = placed(product, variant, { slices: 1, sliceK: product.k, strideSlice: 0 });
  dispatch({
    ...rest,
    name: plainKernelName(variant),
    integers: {
      ...integers,
      ...{ rowA: transA ? 1 : lda, columnA: transA ? lda : 1, rowB: transB ? 1 : ldb, columnB: transB ? ldb : 1 },
    },
    code: () => plainKernel(variant),
    workgroups: workgroups(product, plainTile, plainTile),
  });
}

export function runTiles(product: Product, shape: TileShape): void {
  const variant = variantOf(product);
  dispatch({
    ...placed(product, variant, { slices: 1, sliceK: product.k, strideSlice: 0 }),
    name: tileKernelName(shape, variant),
    enable: variant.half ? ['f16'] : [],
    code: () => tileKernel(shape, variant),
    workgroups: workgroups(product, shape.tileM, shape.tileN),
  });
}

function workgroups({ m, n, inner, outer }: Product, tileM: number, tileN: number): [number, number, number] {
  return [Math.ceil(n / tileN), Math.ceil(m / tileM), inner.count * outer.count];
}

export function variantOf({ a, b, c, bias, k, m, n, transA, transB, lda, ldb, ldc, inner, outer, accumulate }: Product): Variant {
  const fours = (...counts: number[]) => counts.every((count) => count % 4 === 0);
  return {
    transA,
    transB,
    typeA: a.type,
    typeB: b.type,
    vectorA: fours(transA ? m : k, lda, a.first, inner.strideA, outer.strideA),
    vectorB: fours(transB ? k : n, ldb, b.first, inner.strideB, outer.strideB),
    vectorC: fours(n, ldc, c.first, inner.strideC, outer.strideC),
    half: gpu().f16 && a.type === 'f16' && b.type === 'f16',
    bias: bias !== null,
    accumulate,
  };
}

interface Slices {
  slices: number;
  sliceK: number;
  strideSlice: number;
}

/** Operands and parameters of a dispatch. */
function placed(product: Product, { vectorA, vectorB, vectorC }: Variant, slices: Slices) {
  const { m, n, k, lda, ldb, ldc, inner, outer } = product;
  const { limits } = gpu().device;
  const extent = extents(product);
  const a = bindSpan(product.a, extent.a, storedAs(product.a.type, vectorA), limits);
  const b = bindSpan(product.b, extent.b, storedAs(product.b.type, vectorB), limits);
  const c = bindSpan(product.c, extent.c, storedAs('f32', vectorC), limits);
  const bias = product.bias && bindSpan(product.bias, n, 'f32', limits);
  return {
    reads: { a: a.view, b: b.view, ...(bias ? { bias: bias.view } : {}) },
    writes: { c: c.view },
    integers: {
      ...{ m, n, k, lda, ldb, ldc, firstA: a.first, firstB: b.first, firstC: c.first, firstBias: bias?.first ?? 0 },
      ...{ inner: inner.count, strideA: inner.strideA, strideB: inner.strideB, strideC: inner.strideC },
      ...{ outerA: outer.strideA, outerB: outer.strideB, outerC: outer.strideC, ...slices },
    },
    floats: { alpha: product.alpha },
  };
}
