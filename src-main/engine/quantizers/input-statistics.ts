/**
 * Second moments of what a linear reads during calibration: XᵀX and the number of rows, accumulated on the active backend. They give
 * GPTQ's Hessian and, for any change of the weights, the exact mean squared change of the outputs on the calibration data.
 * XᵀX is symmetric, so only the blocks on and above its diagonal are ever computed; but on the webgpu backend it is one block, which a large
 * GPU computes faster than its parts.
 */
import * as tf from '@tensorflow/tfjs-core';
import { Gram } from '../ops/gram/webgpu.ts';

/** Inputs per block; the last block may be narrower. */
const cpuBlockWidth = 768;

export class InputStatistics {
  private inFeatures = 0;
  /** Blocks of XᵀX on and above the diagonal, row after row: [width, width] each. */
  private blocks: tf.Tensor2D[] = [];
  private blockWidth = cpuBlockWidth;
  /** Holds the block on the webgpu backend. */
  private gram: Gram | null = null;
  private rows = 0;

  /** Adds the rows of `input` [rows, in]. */
  add(input: tf.Tensor2D): void {
    this.inFeatures = input.shape[1];
    this.rows += input.shape[0];
    if (tf.getBackend() === 'webgpu') {
      this.gram ??= new Gram(this.inFeatures);
      this.gram.add(input);
      this.blocks = [this.gram.sum];
      this.blockWidth = this.inFeatures;
      return;
    }
    const previous = this.blocks;
    this.blocks = tf.tidy(() => {
      const parts = split(input, this.blockWidth);
      return blockPairs(parts.length).map(([i, j], block) => {
        const product = tf.matMul(parts[i]!, parts[j]!, true, false);
        const sum = previous[block] ? tf.add(previous[block], product) : product;
        return tf.keep(sum) as tf.Tensor2D;
      });
    });
    tf.dispose(previous);
  }

  /** H = (2/N)·XᵀX [in, in]. */
  async hessian(): Promise<Float64Array> {
    const blocks = this.required();
    const hessian = new Float64Array(this.inFeatures ** 2);
    for (const [block, [i, j]] of blockPairs(this.partCount()).entries()) {
      const [height, width] = blocks[block]!.shape;
      const sums = await blocks[block]!.data<'float32'>();
      const above = this.blockWidth * (i * this.inFeatures + j);
      const below = this.blockWidth * (j * this.inFeatures + i);
      for (let row = 0; row < height; row++) {
        const target = above + row * this.inFeatures;
        for (let column = 0; column < width; column++) hessian[target + column] = (2 / this.rows) * sums[row * width + column]!;
      }
      if (i === j) continue;
      for (let column = 0; column < width; column++) {
        const target = below + column * this.inFeatures;
        for (let row = 0; row < height; row++) hessian[target + row] = (2 / this.rows) * sums[row * width + column]!;
      }
    }
    return hessian;
  }

  /** Mean over rows and outputs of (x·Δᵀ)² for a change Δ [out, in] of the weights. */
  async meanSquaredOutput(delta: Float32Array): Promise<number> {
    const blocks = this.required();
    const outFeatures = delta.length / this.inFeatures;
    const total = tf.tidy(() => {
      const parts = split(tf.tensor2d(delta, [outFeatures, this.inFeatures]), this.blockWidth);
      const traces = blockPairs(parts.length).map(([i, j], block) => {
        const trace = tf.sum(tf.mul(tf.matMul(parts[i]!, blocks[block]!), parts[j]!));
        return i === j ? trace : tf.mul(trace, 2);
      });
      return tf.addN(traces);
    });
    const [value] = await total.data<'float32'>();
    total.dispose();
    return Math.max(0, value!) / (this.rows * outFeatures);
  }

  dispose(): void {
    if (this.gram) this.gram.dispose();
    else tf.dispose(this.blocks);
    this.gram = null;
    this.blocks = [];
  }

  private partCount(): number {
    return Math.ceil(this.inFeatures / this.blockWidth);
  }

  private required(): tf.Tensor2D[] {
    if (this.blocks.length === 0) throw new Error('no calibration input has been observed');
    return this.blocks;
  }
}

/** The columns of a matrix, block by block. */
function split(matrix: tf.Tensor2D, blockWidth: number): tf.Tensor2D[] {
  const [rows, columns] = matrix.shape;
  if (columns <= blockWidth) return [matrix];
  return Array.from({ length: Math.ceil(columns / blockWidth) }, (_, part) => {
    const start = part * blockWidth;
    return tf.slice(matrix, [0, start], [rows, Math.min(blockWidth, columns - start)]);
  });
}

/** Block row and block column of every block on and above the diagonal. */
function blockPairs(parts: number): [number, number][] {
  return Array.from({ length: parts }, (_, i) => Array.from({ length: parts - i }, (_, j): [number, number] => [i, i + j])).flat();
}
