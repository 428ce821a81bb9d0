/** `tf.matMul` on the webgpu backend by our own GEMM, with NumPy's broadcasting of batch dimensions, which the stock kernel gets wrong. */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { emptyTensor } from './compute.ts';
import { type Batch, gemm } from './gemm/index.ts';

export function registerMatMul(): void {
  tf.unregisterKernel('BatchMatMul', 'webgpu');
  tf.registerKernel({ kernelName: 'BatchMatMul', backendName: 'webgpu', kernelFunc: matMulKernel });
  // Nothing uses the fused variant; without a kernel it fails loudly instead of running the stock one.
  tf.unregisterKernel('_FusedMatMul', 'webgpu');
}

function matMulKernel(call: { inputs: tf.NamedTensorInfoMap; attrs?: tf.NamedAttrMap }): tf.TensorInfo {
  const { a, b } = call.inputs as { a: tf.TensorInfo; b: tf.TensorInfo };
  const transA = call.attrs?.transposeA === true;
  const transB = call.attrs?.transposeB === true;
  if (a.dtype !== 'float32' || b.dtype !== 'float32') {
    throw new RoundoffError('internal', `matMul of ${a.dtype} by ${b.dtype}`, 'Cast both operands to float32.');
  }
  const [m, k] = matrixShape(a.shape, transA);
  const [k2, n] = matrixShape(b.shape, transB);
  if (k !== k2) {
    throw new RoundoffError('internal', `matMul of [${a.shape}] by [${b.shape}]: inner sizes ${k} and ${k2} differ`, 'Check the shapes.');
  }
  const [batchA, batchB] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  const batchShape = tf.broadcast_util.assertAndGetBroadcastShape(batchA, batchB);
  const shape = [...batchShape, m, n];
  const count = tf.util.sizeFromShape(shape);
  if (k === 0) return zeros(shape, count);
  const c = emptyTensor(shape);
  if (count === 0) return c;
  const levels = batchLevels(batchShape, itemStrides(batchA, m * k, batchShape), itemStrides(batchB, k * n, batchShape), m * n);
  const product = { m, n, k, transA, transB };
  const [inner, ...outer] = levels;
  // Weights shared by a whole batch multiply it as one tall matrix.
  if (inner && outer.length === 0 && inner.strideB === 0 && inner.strideA === m * k && !transA) {
    gemm({ a, b, c, ...product, m: inner.count * m });
    return c;
  }
  batches(levels, { a: 0, b: 0, c: 0 }, (batch, first) => gemm({ a, b, c, ...product, batch, first }));
  return c;
}

function matrixShape(shape: number[], transposed: boolean): [rows: number, columns: number] {
  const rows = shape[shape.length - 2]!;
  const columns = shape[shape.length - 1]!;
  return transposed ? [columns, rows] : [rows, columns];
}

/** Elements from one index of each dimension of `to` to the next in an operand of batch `from`, whose dimensions of size 1 (or missing) repeat. */
function itemStrides(from: number[], size: number, to: number[]): number[] {
  const padded = [...Array<number>(to.length - from.length).fill(1), ...from];
  let stride = size;
  return padded
    .reverse()
    .map((length) => {
      const step = length === 1 ? 0 : stride;
      stride *= length;
      return step;
    })
    .reverse();
}

/** The batch as loops, the innermost first, with as few as its strides allow. */
function batchLevels(shape: number[], stridesA: number[], stridesB: number[], sizeC: number): Batch[] {
  const levels: Batch[] = [];
  let strideC = sizeC;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const level = { count: shape[axis]!, strideA: stridesA[axis]!, strideB: stridesB[axis]!, strideC };
    strideC *= level.count;
    if (level.count === 1) continue;
    const inside = levels.at(-1);
    const continues =
      inside && (['strideA', 'strideB', 'strideC'] as const).every((stride) => level[stride] === inside.count * inside[stride]);
    if (continues) inside.count *= level.count;
    else levels.push(level);
  }
  return levels;
}

interface First {
  a: number;
  b: number;
  c: number;
}

/** Calls `run` once for every index of the loops beyond the two that one product covers. */
function batches(levels: Batch[], first: First, run: (batch: (Batch & { outer?: Batch }) | undefined, first: First) => void): void {
  const [inner, outer, ...rest] = levels;
  const last = rest.pop();
  if (!last) {
    run(inner && { ...inner, ...(outer ? { outer } : {}) }, first);
    return;
  }
  for (let i = 0; i < last.count; i++) {
    const moved = { a: first.a + i * last.strideA, b: first.b + i * last.strideB, c: first.c + i * last.strideC };
    batches([inner!, outer!, ...rest], moved, run);
  }
}

function zeros(shape: number[], count: number): tf.TensorInfo {
  const backend = tf.backend() as unknown as { makeTensorInfo(shape: number[], dtype: tf.DataType, values: Float32Array): tf.TensorInfo };
  return backend.makeTensorInfo(shape, 'float32', new Float32Array(count));
}
