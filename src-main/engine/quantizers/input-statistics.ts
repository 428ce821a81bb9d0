/**
 * Second moments of what a linear reads during calibration: XᵀX and the number of rows, accumulated on the active backend. They give
 * GPTQ's Hessian and, for any change of the weights, the exact mean squared change of the outputs on the calibration data.
 */
import * as tf from '@tensorflow/tfjs-core';

export class InputStatistics {
  /** [in, in] */
  private sum: tf.Tensor2D | null = null;
  private rows = 0;

  /** Adds the rows of `input` [rows, in]. */
  add(input: tf.Tensor2D): void {
    const previous = this.sum;
    this.sum = tf.tidy(() => {
      const product = tf.matMul(input, input, true, false);
      return tf.keep(previous ? tf.add(previous, product) : product) as tf.Tensor2D;
    });
    previous?.dispose();
    this.rows += input.shape[0];
  }

  /** H = (2/N)·XᵀX [in, in]. */
  async hessian(): Promise<Float64Array> {
    const sums = await this.required().data<'float32'>();
    const hessian = new Float64Array(sums.length);
    for (let i = 0; i < hessian.length; i++) hessian[i] = (2 / this.rows) * sums[i]!;
    return hessian;
  }

  /** Mean over rows and outputs of (x·Δᵀ)² for a change Δ [out, in] of the weights. */
  async meanSquaredOutput(delta: Float32Array): Promise<number> {
    const sum = this.required();
    const outFeatures = delta.length / sum.shape[0];
    const total = tf.tidy(() => {
      const change = tf.tensor2d(delta, [outFeatures, sum.shape[0]]);
      return tf.sum(tf.mul(tf.matMul(change, sum), change));
    });
    const [value] = await total.data<'float32'>();
    total.dispose();
    return Math.max(0, value!) / (this.rows * outFeatures);
  }

  dispose(): void {
    this.sum?.dispose();
    this.sum = null;
  }

  private required(): tf.Tensor2D {
    if (!this.sum) throw new Error('no calibration input has been observed');
    return this.sum;
  }
}
