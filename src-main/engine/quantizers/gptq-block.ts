/**
 * The lazy half of GPTQ: after a block of columns is quantized, its errors reach all later columns at once, W −= E·U. Small products run
 * here in float64; large ones are one matrix product of the active backend, in float32, many times as fast.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { WeightShape } from '../observers/weight-observer.ts';

/** Scaled rounding errors of the columns start … end of all rows. */
export interface BlockErrors {
  start: number;
  end: number;
  /** Row length of `values`, at least end − start. */
  width: number;
  /** [out, width] */
  values: Float64Array;
}

/** Products of at least this many multiplications go to the backend. */
const backendThreshold = 2 ** 24;

/** current[row, later] −= Σ_column errors[row, column] · upper[column, later] for all columns after the block. `current` is [out, in]. */
export async function propagateErrors(current: Float64Array, errors: BlockErrors, upper: Float64Array, shape: WeightShape): Promise<void> {
  const later = shape.inFeatures - errors.end;
  if (later === 0) return;
  const work = shape.outFeatures * (errors.end - errors.start) * later;
  if (work < backendThreshold) subtractHere(current, errors, upper, shape);
  else await subtractOnBackend(current, errors, upper, shape);
}

/** Four columns at a time, so that each later weight is loaded and stored once for four errors. */
function subtractHere(current: Float64Array, errors: BlockErrors, upper: Float64Array, shape: WeightShape): void {
  const { start, end, width, values } = errors;
  const n = shape.inFeatures;
  for (let row = 0; row < shape.outFeatures; row++) {
    const base = row * n;
    const rowErrors = row * width - start;
    let column = start;
    for (; column + 4 <= end; column += 4) {
      const e0 = values[rowErrors + column]!;
      const e1 = values[rowErrors + column + 1]!;
      const e2 = values[rowErrors + column + 2]!;
      const e3 = values[rowErrors + column + 3]!;
      const u0 = column * n;
      const u1 = u0 + n;
      const u2 = u1 + n;
      const u3 = u2 + n;
      for (let later = end; later < n; later++) {
        current[base + later]! -= e0 * upper[u0 + later]! + e1 * upper[u1 + later]! + e2 * upper[u2 + later]! + e3 * upper[u3 + later]!;
      }
    }
    for (; column < end; column++) {
      const e = values[rowErrors + column]!;
      for (let later = end; later < n; later++) current[base + later]! -= e * upper[column * n + later]!;
    }
  }
}

async function subtractOnBackend(current: Float64Array, errors: BlockErrors, upper: Float64Array, shape: WeightShape): Promise<void> {
  const { start, end, width, values } = errors;
  const n = shape.inFeatures;
  const later = n - end;
  const columns = end - start;
  const product = tf.tidy(() =>
    tf.matMul(
      tf.tensor2d(window(values, width, 0, shape.outFeatures, 0, columns), [shape.outFeatures, columns]),
      tf.tensor2d(window(upper, n, start, end, end, n), [columns, later]),
    ),
  );
  const update = await product.data<'float32'>();
  for (let row = 0; row < shape.outFeatures; row++) {
    const base = row * n + end;
    const from = row * later;
    for (let column = 0; column < later; column++) current[base + column]! -= update[from + column]!;
  }
  product.dispose();
}

/** Rows and columns of a matrix with row length `stride`, as float32. */
function window(matrix: Float64Array, stride: number, top: number, bottom: number, left: number, right: number): Float32Array {
  const part = new Float32Array((bottom - top) * (right - left));
  for (let row = top; row < bottom; row++)
    part.set(matrix.subarray(row * stride + left, row * stride + right), (row - top) * (right - left));
  return part;
}
