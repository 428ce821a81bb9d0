/**
 * `tf.matMul` on the wasm backend by native GEMM, with NumPy's broadcasting of batch dimensions. The stock kernel takes batch indices modulo
 * the smaller flattened batch, which is wrong as soon as an inner dimension broadcasts ([2,1,m,k] × [2,4,k,n]).
 */

import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { batchedGemm, gemm } from './gemm.ts';
import type { WasmBackend } from './memory.ts';

export function registerMatMul(): void {
  tf.unregisterKernel('BatchMatMul', 'wasm');
  tf.registerKernel({ kernelName: 'BatchMatMul', backendName: 'wasm', kernelFunc: matMulKernel });
  // Nothing uses the fused variant; without a kernel it fails loudly instead of running the stock one.
  tf.unregisterKernel('_FusedMatMul', 'wasm');
}

function matMulKernel(call: { inputs: tf.NamedTensorInfoMap; backend: unknown; attrs?: tf.NamedAttrMap }): tf.TensorInfo {
  const a = call.inputs.a as tf.TensorInfo;
  const b = call.inputs.b as tf.TensorInfo;
  const backend = call.backend as WasmBackend;
  const transA = call.attrs?.transposeA === true;
  const transB = call.attrs?.transposeB === true;
  if (a.dtype !== 'float32' || b.dtype !== 'float32') {
    throw new RoundoffError('internal', `matMul of ${a.dtype} by ${b.dtype}`, 'Cast both operands to float32.');
  }
  const [m, k] = matrixShape(a.shape, transA);
  const [k2, n] = matrixShape(b.shape, transB);
  if (k !== k2)
    throw new RoundoffError('internal', `matMul of [${a.shape}] by [${b.shape}]: inner sizes ${k} and ${k2} differ`, 'Check the shapes.');
  const batchA = a.shape.slice(0, -2);
  const batchB = b.shape.slice(0, -2);
  const batchShape = tf.broadcast_util.assertAndGetBroadcastShape(batchA, batchB);
  const out = backend.makeOutput([...batchShape, m, n], 'float32');
  const place = (info: tf.TensorInfo) => backend.dataIdMap.get(info.dataId).memoryOffset;
  const [pa, pb, pc] = [place(a), place(b), place(out)];
  const [sizeA, sizeB, batch] = [product(batchA), product(batchB), product(batchShape)];

  if (batch === 1) gemm({ a: pa, b: pb, c: pc, m, n, k, transA, transB });
  else if (sizeB === 1 && !transA) gemm({ a: pa, b: pb, c: pc, m: batch * m, n, k, transB });
  else if (sizeA === batch && sizeB === batch) batchedGemm({ a: pa, b: pb, c: pc, m, n, k, transA, transB, batch });
  else {
    const indexA = broadcastIndex(batchA, batchShape);
    const indexB = broadcastIndex(batchB, batchShape);
    for (let i = 0; i < batch; i++) {
      gemm({ a: pa + 4 * m * k * indexA(i), b: pb + 4 * k * n * indexB(i), c: pc + 4 * m * n * i, m, n, k, transA, transB });
    }
  }
  return out;
}

function matrixShape(shape: number[], transposed: boolean): [rows: number, columns: number] {
  const rows = shape[shape.length - 2]!;
  const columns = shape[shape.length - 1]!;
  return transposed ? [columns, rows] : [rows, columns];
}

/** Maps a flat index over `to` onto the flat index over `from`, whose dimensions of size 1 (or missing in front) repeat. */
function broadcastIndex(from: number[], to: number[]): (index: number) => number {
  const padded = [...Array<number>(to.length - from.length).fill(1), ...from];
  return (index) => {
    let rest = index;
    let result = 0;
    let stride = 1;
    for (let axis = to.length - 1; axis >= 0; axis--) {
      const coordinate = rest % to[axis]!;
      rest = (rest - coordinate) / to[axis]!;
      if (padded[axis] !== 1) result += coordinate * stride;
      stride *= padded[axis]!;
    }
    return result;
  };
}

function product(sizes: number[]): number {
  return sizes.reduce((total, size) => total * size, 1);
}
