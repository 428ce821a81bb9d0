/** Records one product that a dispatch can hold, with the shader that was chosen for it. */
import * as tf from '@tensorflow/tfjs-core';
import { dispatch, emptyTensor, type KernelDispatch } from '../compute.ts';
import { gpu } from '../device.ts';
import { choose, type Kernel } from './choose.ts';
import { type MatrixShape, matrixKernel, matrixKernelName } from './matrix-kernel.ts';
import { bindSpan, spanOf, storedAs } from './operands.ts';
import { plainKernel, plainKernelName, plainTile } from './plain-kernel.ts';
import { extents, type Product } from './product.ts';
import { type RowShape, rowKernel, rowKernelName, rowTile } from './row-kernel.ts';
import { type TileShape, tileKernel, tileKernelName } from './tile-kernel.ts';
import type { Variant } from './variant.ts';

export function runProduct(product: Product): void {
  runWith(product, product.kernel ?? choose(product, runWith));
}

function runWith(product: Product, kernel: Kernel): void {
  const slices = 'slices' in kernel ? kernel.slices : 1;
  if (slices > 1 && product.k > slices) runSlices(product, kernel, slices);
  else runKernel(product, kernel, { slices: 1, sliceK: product.k, strideSlice: 0 });
}

interface Slices {
  slices: number;
  sliceK: number;
  strideSlice: number;
}

/** Slices begin at multiples of this, so that rows stay readable as vectors. */
const sliceStep = 32;
const sumThreads = 256;

/** Split-K: every slice of k leaves a C of its own in scratch, and a second dispatch adds them up in order. */
function runSlices(product: Product, kernel: Kernel, wanted: number): void {
  const { m, n, k, inner, outer } = product;
  const sliceK = sliceStep * Math.ceil(k / wanted / sliceStep);
  const slices = Math.ceil(k / sliceK);
  const items = inner.count * outer.count;
  const scratch = emptyTensor([items, slices, m, n]);
  const parts: Product = {
    ...product,
    c: spanOf(scratch),
    bias: null,
    ldc: n,
    inner: { ...inner, strideC: slices * m * n },
    outer: { ...outer, strideC: inner.count * slices * m * n },
    alpha: 1,
    accumulate: false,
  };
  runKernel(parts, kernel, { slices, sliceK, strideSlice: m * n });
  const { bias, accumulate, ldc } = { ...product, bias: product.bias !== null };
  const { reads, writes, integers, floats } = placed(product, variantOf(product, { vectors: false }), {
    slices,
    sliceK,
    strideSlice: m * n,
  });
  const { firstC, firstBias, strideC, outerC } = integers;
  dispatch({
    name: `gemm-sum-slices${bias ? '-bias' : ''}${accumulate ? '-accumulate' : ''}`,
    reads: { parts: scratch, ...(bias ? { bias: reads.bias! } : {}) },
    writes,
    integers: { n, ldc, firstC, firstBias, inner: inner.count, strideC, outerC, slices, strideSlice: m * n },
    floats,
    workgroups: [Math.ceil((m * n) / sumThreads), 1, items],
    code: () => `
      @compute @workgroup_size(${sumThreads})
      fn main(@builtin(workgroup_id) group : vec3<u32>, @builtin(local_invocation_index) lane : u32) {
        let at = group.x * ${sumThreads}u + lane;
        if (at >= parameters.strideSlice) { return; }
        var sum = 0.0;
        for (var slice = 0u; slice < parameters.slices; slice++) {
          sum += parts[(group.z * parameters.slices + slice) * parameters.strideSlice + at];
        }
        let column = at % parameters.n;
        let place = parameters.firstC + (group.z % parameters.inner) * parameters.strideC + (group.z / parameters.inner) * parameters.outerC
          + (at / parameters.n) * parameters.ldc + column;
        c[place] = parameters.alpha * sum${bias ? ' + bias[parameters.firstBias + column]' : ''}${accumulate ? ' + c[place]' : ''};
      }`,
  });
  (tf.backend() as tf.KernelBackend).disposeData(scratch.dataId);
}

type Rest = Pick<KernelDispatch, 'name' | 'enable' | 'code' | 'workgroups'>;

function runKernel(product: Product, kernel: Kernel, slices: Slices): void {
  const variant = variantOf(product, { vectors: kernel.kind !== 'plain', vectorC: kernel.kind === 'tile' });
  const { transA, transB, lda, ldb } = product;
  const common = placed(product, variant, slices);
  const strides = { rowA: transA ? 1 : lda, columnA: transA ? lda : 1, rowB: transB ? 1 : ldb, columnB: transB ? ldb : 1 };
  const integers = kernel.kind === 'plain' ? { ...common.integers, ...strides } : common.integers;
  dispatch({ ...common, integers, ...shaderOf(product, kernel, variant, slices.slices) });
}

function shaderOf(product: Product, kernel: Kernel, variant: Variant, slices: number): Rest {
  const { m, n, inner, outer } = product;
  const items = inner.count * outer.count * slices;
  if (kernel.kind === 'plain') {
    const workgroups: Rest['workgroups'] = [Math.ceil(n / plainTile), Math.ceil(m / plainTile), items];
    return { name: plainKernelName(variant), code: () => plainKernel(variant), workgroups };
  }
  if (kernel.kind === 'rows') return rows(kernel.shape, variant, [Math.ceil(n / rowTile(kernel.shape)), 1, items]);
  const { shape } = kernel;
  const workgroups: Rest['workgroups'] = [Math.ceil(n / shape.tileN), Math.ceil(m / shape.tileM), items];
  return kernel.kind === 'tile' ? tiles(kernel.shape, variant, workgroups) : matrices(kernel.shape, variant, workgroups);
}

function rows(shape: RowShape, variant: Variant, workgroups: Rest['workgroups']): Rest {
  const enable: Rest['enable'] = shape.subgroups ? ['subgroups'] : [];
  return { name: rowKernelName(shape, variant), enable, code: () => rowKernel(shape, variant), workgroups };
}

function tiles(shape: TileShape, variant: Variant, workgroups: Rest['workgroups']): Rest {
  const enable: Rest['enable'] = shape.half ? ['f16'] : [];
  return { name: tileKernelName(shape, variant), enable, code: () => tileKernel(shape, variant), workgroups };
}

function matrices(shape: MatrixShape, variant: Variant, workgroups: Rest['workgroups']): Rest {
  const half: Rest['enable'] = shape.matrix.componentType === 'f16' ? ['f16'] : [];
  const enable: Rest['enable'] = [...half, 'subgroups', 'chromium_experimental_subgroup_matrix'];
  return { name: matrixKernelName(shape, variant), enable, code: () => matrixKernel(shape, variant), workgroups };
}

function variantOf(product: Product, { vectors, vectorC = false }: { vectors: boolean; vectorC?: boolean }): Variant {
  const { a, b, c, bias, k, m, n, transA, transB, lda, ldb, ldc, inner, outer, accumulate } = product;
  const fours = (...counts: number[]) => vectors && counts.every((count) => count % 4 === 0);
  const computed = 'code' in b ? b : null;
  return {
    transA,
    transB,
    typeA: a.type,
    typeB: 'code' in b ? 'f32' : b.type,
    vectorA: fours(transA ? m : k, lda, a.first, inner.strideA, outer.strideA),
    vectorB: 'code' in b ? vectors : fours(transB ? k : n, ldb, b.first, inner.strideB, outer.strideB),
    vectorC: vectorC && fours(n, ldc, c.first, inner.strideC, outer.strideC),
    bias: bias !== null,
    accumulate,
    computed,
  };
}

/** Operands and parameters of a dispatch. */
function placed(product: Product, { vectorA, vectorB, vectorC }: Variant, slices: Slices) {
  const { m, n, k, lda, ldb, ldc, inner, outer } = product;
  const { limits } = gpu().device;
  const extent = extents(product);
  const a = bindSpan(product.a, extent.a, storedAs(product.a.type, vectorA), limits);
  const c = bindSpan(product.c, extent.c, storedAs('f32', vectorC), limits);
  const bias = product.bias && bindSpan(product.bias, n, 'f32', limits);
  const b =
    'code' in product.b
      ? { reads: product.b.reads, integers: product.b.integers, first: 0 }
      : bindB(bindSpan(product.b, extent.b, storedAs(product.b.type, vectorB), limits));
  return {
    reads: { a: a.view, ...b.reads, ...(bias ? { bias: bias.view } : {}) },
    writes: { c: c.view },
    integers: {
      ...{ m, n, k, lda, ldb, ldc, firstA: a.first, firstB: b.first, firstC: c.first, firstBias: bias?.first ?? 0 },
      ...{ inner: inner.count, strideA: inner.strideA, strideB: inner.strideB, strideC: inner.strideC },
      ...{ outerA: outer.strideA, outerB: outer.strideB, outerC: outer.strideC, ...slices, ...b.integers },
    },
    floats: { alpha: product.alpha },
  };
}

function bindB({ view, first }: ReturnType<typeof bindSpan>) {
  return { reads: { b: view }, integers: {}, first };
}
