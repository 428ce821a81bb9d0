/**
 * Kronecker products on the webgpu backend: a workgroup multiplies one row, held in its memory, by both factors. Gradients of the factors are
 * sums over rows of small products, added up per block of rows and then over the blocks. Factors are of at most 64 (see index.ts), so that a
 * row takes at most 16 KiB.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { groupNumber } from '../../backends/webgpu/compute.ts';
import { type GpuCall, registerGpuKernel } from '../gpu-kernel.ts';

const groupSize = 256;
/** Blocks of rows whose sums are kept apart, and rows in one at least. */
const mostBlocks = 256;
const fewestRows = 8;

interface Inputs {
  x: tf.TensorInfo;
  left: tf.TensorInfo;
  /** Left out for the identity. */
  right?: tf.TensorInfo;
  dy: tf.TensorInfo;
}

type Factors = Partial<Record<'left' | 'right', tf.TensorInfo>>;

registerGpuKernel('Kronecker', (call) => {
  const { x, left, right } = call.inputs as unknown as Inputs;
  const y = call.output(x.shape);
  multiplyRows(call, x, y, left.shape[0]!, right ? { left, right } : { left });
  return [y];
});

registerGpuKernel('KroneckerGrad', (call) => {
  const { x, left, right, dy } = call.inputs as unknown as Inputs;
  const { output, scratch } = call;
  const n1 = left.shape[0]!;
  const n2 = x.shape[1]! / n1;
  const [dx, dLeft] = [output(x.shape), output([n1, n1])];
  const transposed = { left: transpose(call, left), ...(right ? { right: transpose(call, right) } : {}) };
  multiplyRows(call, dy, dx, n1, transposed);
  if (!right) {
    sumProducts(call, { a: x, b: dy, sum: dLeft, n: n1, depth: n2, along: 'row' });
    return [dx, dLeft];
  }
  const dRight = output([n2, n2]);
  const [mixedRight, mixedLeft] = [scratch(x.shape), scratch(x.shape)];
  multiplyRows(call, x, mixedRight, n1, { right });
  multiplyRows(call, x, mixedLeft, n1, { left });
  sumProducts(call, { a: mixedRight, b: dy, sum: dLeft, n: n1, depth: n2, along: 'row' });
  sumProducts(call, { a: mixedLeft, b: dy, sum: dRight, n: n2, depth: n1, along: 'column' });
  return [dx, dLeft, dRight];
});

/** y = leftᵀ · X · right for each row X [n1, n2], where n2 is a multiple of 4. */
function multiplyRows({ dispatch }: GpuCall, x: tf.TensorInfo, y: tf.TensorInfo, n1: number, { left, right }: Factors): void {
  const [rows, size] = x.shape as [number, number];
  const n2 = size / n1;
  const as = 'vec4<f32>';
  const quads = n2 / 4;
  // An invocation computes four columns of a strip of one, two or four rows of X: even the largest needs no more strips than there are.
  const strips = Math.floor(groupSize / quads);
  const depth = [1, 2, 4].find((rows) => rows * strips >= n1)!;
  dispatch({
    name: `kronecker${left ? '-left' : ''}${right ? '-right' : ''}-${depth}`,
    reads: { x: { of: x, as }, ...(left ? { left } : {}), ...(right ? { right: { of: right, as } } : {}) },
    writes: { y: { of: y, as } },
    integers: { rows, n1, quads, strips },
    workgroups: rows,
    code: () => `${groupNumber}
      const depth = ${depth}u;
      var<workgroup> block : array<vec4<f32>, 1024>;
      @compute @workgroup_size(${groupSize}) fn main(
        @builtin(workgroup_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>, @builtin(local_invocation_index) index : u32
      ) {
        let row = groupNumber(id, groups);
        if (row >= parameters.rows) { return; }
        let n1 = parameters.n1;
        let quads = parameters.quads;
        let start = row * n1 * quads;
        for (var j = index; j < n1 * quads; j += ${groupSize}u) { block[j] = x[start + j]; }
        workgroupBarrier();
        let quad = index % quads;
        let first = index / quads * depth;
        let last = select(first, min(first + depth, n1), index < parameters.strips * quads);
        var sums : array<vec4<f32>, depth>;
        ${right ? byRight : ''}
        ${left ? byLeft : ''}
        for (var i = 0u; i < depth; i++) {
          if (first + i < last) { y[start + (first + i) * quads + quad] = sums[i]; }
        }
      }`,
  });
}

const byRight = `
        for (var c = 0u; c < quads; c++) {
          let place = 4u * c * quads + quad;
          for (var i = 0u; i < depth; i++) {
            let values = block[min(first + i, n1 - 1u) * quads + c];
            sums[i] += values.x * right[place] + values.y * right[place + quads]
              + values.z * right[place + 2u * quads] + values.w * right[place + 3u * quads];
          }
        }
        workgroupBarrier();
        for (var i = 0u; i < depth; i++) {
          if (first + i < last) { block[(first + i) * quads + quad] = sums[i]; }
        }
        workgroupBarrier();`;

const byLeft = `
        for (var i = 0u; i < depth; i++) { sums[i] = vec4(0.0); }
        for (var a = 0u; a < n1; a++) {
          let values = block[a * quads + quad];
          for (var i = 0u; i < depth; i++) { sums[i] += left[a * n1 + min(first + i, n1 - 1u)] * values; }
        }`;

function transpose({ dispatch, scratch }: GpuCall, matrix: tf.TensorInfo): tf.TensorInfo {
  const n = matrix.shape[0]!;
  const transposed = scratch(matrix.shape);
  dispatch({
    name: 'kronecker-transpose',
    reads: { matrix },
    writes: { transposed },
    integers: { n },
    workgroups: [Math.ceil((n * n) / groupSize), 1, 1],
    code: () => `
      @compute @workgroup_size(${groupSize}) fn main(@builtin(global_invocation_id) id : vec3<u32>) {
        let n = parameters.n;
        if (id.x < n * n) { transposed[id.x] = matrix[id.x % n * n + id.x / n]; }
      }`,
  });
  return transposed;
}

interface Products {
  /** [rows, n · depth] */
  a: tf.TensorInfo;
  b: tf.TensorInfo;
  /** [n, n] */
  sum: tf.TensorInfo;
  n: number;
  depth: number;
  /** Whether the n vectors of a row, of length `depth`, are the rows of its matrix or the columns. */
  along: 'row' | 'column';
}

/** sum[i, j] = Σ over rows of the dot product of vector i of a's row and vector j of b's. */
function sumProducts({ dispatch, scratch }: GpuCall, { a, b, sum, n, depth, along }: Products): void {
  const rows = a.shape[0]!;
  const blockRows = Math.max(fewestRows, Math.ceil(rows / mostBlocks));
  const blocks = Math.ceil(rows / blockRows);
  const partial = blocks > 1 ? scratch([blocks, n, n]) : sum;
  const quads = Math.ceil(n / 4);
  const strides = along === 'row' ? { vectorStride: depth, stepStride: 1 } : { vectorStride: 1, stepStride: n };
  dispatch({
    name: `kronecker-products-${along}`,
    reads: { a, b },
    writes: { partial },
    integers: { rows, blockRows, n, quads, depth, ...strides },
    workgroups: [blocks, 1, 1],
    code: () => productsCode(along),
  });
  if (blocks === 1) return;
  dispatch({
    name: 'kronecker-sum',
    reads: { partial },
    writes: { sum },
    integers: { blocks, count: n * n },
    workgroups: [Math.ceil((n * n) / groupSize), 1, 1],
    code: () => `
      @compute @workgroup_size(${groupSize}) fn main(@builtin(global_invocation_id) id : vec3<u32>) {
        if (id.x >= parameters.count) { return; }
        var total = 0.0;
        for (var block = 0u; block < parameters.blocks; block++) { total += partial[block * parameters.count + id.x]; }
        sum[id.x] = total;
      }`,
  });
}

/** Sixteen steps of the depth at a time go through the workgroup's memory; an invocation adds up 4 × 4 entries. */
function productsCode(along: Products['along']): string {
  const [quad, step] = along === 'row' ? ['e / 16u', 'e % 16u'] : ['e % parameters.quads', 'e / parameters.quads'];
  return `
      var<workgroup> tileA : array<vec4<f32>, 256>;
      var<workgroup> tileB : array<vec4<f32>, 256>;
      @compute @workgroup_size(${groupSize}) fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(local_invocation_index) index : u32) {
        let n = parameters.n;
        let depth = parameters.depth;
        let stride = parameters.vectorStride;
        let firstRow = id.x * parameters.blockRows;
        let lastRow = min(firstRow + parameters.blockRows, parameters.rows);
        let i = index / 16u;
        let j = index % 16u;
        var sums : array<vec4<f32>, 4>;
        for (var row = firstRow; row < lastRow; row++) {
          for (var done = 0u; done < depth; done += 16u) {
            if (index < 16u * parameters.quads) {
              let e = index;
              let quad = ${quad};
              let step = ${step};
              let place = row * n * depth + 4u * quad * stride + (done + step) * parameters.stepStride;
              let isInside = (4u * quad + vec4(0u, 1u, 2u, 3u) < vec4(n)) & vec4(done + step < depth);
              let fromA = vec4(a[place], a[place + stride], a[place + 2u * stride], a[place + 3u * stride]);
              let fromB = vec4(b[place], b[place + stride], b[place + 2u * stride], b[place + 3u * stride]);
              tileA[step * 16u + quad] = select(vec4(0.0), fromA, isInside);
              tileB[step * 16u + quad] = select(vec4(0.0), fromB, isInside);
            }
            workgroupBarrier();
            for (var step = 0u; step < 16u; step++) {
              let values = tileA[step * 16u + i];
              let others = tileB[step * 16u + j];
              sums[0] += values.x * others;
              sums[1] += values.y * others;
              sums[2] += values.z * others;
              sums[3] += values.w * others;
            }
            workgroupBarrier();
          }
        }
        for (var k = 0u; k < 4u; k++) {
          for (var l = 0u; l < 4u; l++) {
            if (4u * i + k < n && 4u * j + l < n) { partial[(id.x * n + 4u * i + k) * n + 4u * j + l] = sums[k][l]; }
          }
        }
      }`;
}
