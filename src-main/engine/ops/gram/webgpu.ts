/**
 * XᵀX of ever more rows on the webgpu backend: products of a few hundred rows, added up with what each addition rounds off (Knuth's two-sum),
 * so that the sum over a whole calibration set is as exact as one of its parts.
 */
import * as tf from '@tensorflow/tfjs-core';
import { dispatch, emptyTensor, groupNumber, rowWindows } from '../../backends/webgpu/compute.ts';
import { gemm } from '../../backends/webgpu/gemm/index.ts';

/** Rows of a product: their sum in f32 is what limits the accuracy. */
const partRows = 512;
const groupSize = 256;

export class Gram {
  /** XᵀX [n, n]. */
  readonly sum: tf.Tensor2D;
  /** What `sum` lacks. */
  private readonly rest: tf.Tensor2D;

  constructor(n: number) {
    this.sum = tf.keep(tf.zeros([n, n]));
    this.rest = tf.keep(tf.zeros([n, n]));
  }

  /** Adds the rows of `input` [rows, n]. */
  add(input: tf.Tensor2D): void {
    const [rows, n] = input.shape;
    const part = emptyTensor([n, n]);
    for (let start = 0; start < rows; start += partRows) {
      const first = { a: start * n, b: start * n };
      gemm({ a: input, b: input, c: part, first, m: n, n, k: Math.min(partRows, rows - start), transA: true });
      this.addPart(part, n);
    }
    (tf.backend() as tf.KernelBackend).disposeData(part.dataId);
  }

  dispose(): void {
    tf.dispose([this.sum, this.rest]);
  }

  private addPart(part: tf.TensorInfo, n: number): void {
    for (const { first, rows } of rowWindows(n, 4 * n)) {
      const window = (of: tf.TensorInfo) => ({ of, offset: 4 * first * n, size: 4 * rows * n });
      dispatch({
        name: 'gram-add',
        reads: { part: window(part) },
        writes: { sum: window(this.sum), rest: window(this.rest) },
        integers: { count: rows * n },
        workgroups: Math.ceil((rows * n) / groupSize),
        code: () => `${groupNumber}
      @compute @workgroup_size(${groupSize}) fn main(
        @builtin(workgroup_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>, @builtin(local_invocation_index) lane : u32
      ) {
        let place = groupNumber(id, groups) * ${groupSize}u + lane;
        if (place >= parameters.count) { return; }
        let before = sum[place];
        let added = part[place] + rest[place];
        let after = before + added;
        let share = after - before;
        sum[place] = after;
        rest[place] = (before - (after - share)) + (added - share);
      }`,
      });
    }
  }
}
