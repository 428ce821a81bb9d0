/** Output layer and mean cross-entropy over masked rows, in chunks of rows so that logits are never held for a whole batch. */
import * as tf from '@tensorflow/tfjs-core';
import { hasKernel, runKernel } from '../kernel.ts';
import { withKnownGradients } from '../known-gradients.ts';
import { defaultChunkRows } from '../row-chunks.ts';
import './wasm.ts';
import './webgpu.ts';

export interface LinearCrossEntropyOptions {
  /** [rows], 1 where a row counts, 0 where not; every row when left out. */
  mask?: tf.Tensor1D;
  /** Rows whose logits are held at once. */
  chunkRows?: number;
  /** False where the weight does not learn: no gradient of it is formed or held. True by default. */
  headGradient?: boolean;
}

/**
 * @param hidden [rows, size]
 * @param weight [vocab, size], the output layer's (or tied embedding's) weight
 * @param targets int32 [rows], each in [0, vocab)
 * @returns mean of −log softmax(hidden · weightᵀ)[target] over rows with mask 1; differentiable in hidden and, with `headGradient`, weight. 0 rows give NaN.
 */
export function linearCrossEntropy(
  hidden: tf.Tensor2D,
  weight: tf.Tensor2D,
  targets: tf.Tensor1D,
  options: LinearCrossEntropyOptions = {},
): tf.Scalar {
  const [rows] = hidden.shape;
  const vocab = weight.shape[0];
  const { headGradient = true } = options;
  const settings = { chunkRows: Math.max(1, options.chunkRows ?? defaultChunkRows(vocab)), headGradient };
  return withKnownGradients(headGradient ? [hidden, weight] : [hidden], () => {
    const mask = options.mask ?? tf.ones([rows]);
    const shares = tf.div(mask, tf.sum(mask)) as tf.Tensor1D;
    const forward = hasKernel('LinearCrossEntropy') ? kernelForward : composedForward;
    return forward(hidden, weight, targets, shares, settings);
  });
}

interface Settings {
  chunkRows: number;
  headGradient: boolean;
}

interface Result {
  loss: tf.Scalar;
  gradients: tf.Tensor[];
}

function kernelForward(hidden: tf.Tensor2D, weight: tf.Tensor2D, targets: tf.Tensor1D, shares: tf.Tensor1D, settings: Settings): Result {
  const [loss, ...gradients] = runKernel('LinearCrossEntropy', { hidden, weight, targets, shares }, { ...settings });
  return { loss: loss as tf.Scalar, gradients };
}

function composedForward(
  x: tf.Tensor2D,
  w: tf.Tensor2D,
  targets: tf.Tensor1D,
  shares: tf.Tensor1D,
  { chunkRows, headGradient }: Settings,
): Result {
  const [rows, size] = x.shape;
  const vocab = w.shape[0];
  const dHidden: tf.Tensor2D[] = [];
  let loss = tf.scalar(0);
  let dWeight = headGradient ? (tf.zeros([vocab, size]) as tf.Tensor2D) : null;
  for (let start = 0; start < rows; start += chunkRows) {
    const count = Math.min(chunkRows, rows - start);
    const chunk = tf.slice(x, [start, 0], [count, size]);
    const share = tf.reshape(tf.slice(shares, start, count), [count, 1]);
    const target = tf.cast(tf.oneHot(tf.slice(targets, start, count), vocab), 'float32');
    const logProbabilities = tf.logSoftmax(tf.matMul(chunk, w, false, true));
    loss = tf.sub(loss, tf.sum(tf.mul(tf.mul(logProbabilities, target), share)));
    const dLogits = tf.mul(tf.sub(tf.exp(logProbabilities), target), share) as tf.Tensor2D;
    dHidden.push(tf.matMul(dLogits, w));
    if (dWeight) dWeight = tf.add(dWeight, tf.matMul(dLogits, chunk, true));
  }
  return { loss, gradients: [tf.concat(dHidden, 0), ...(dWeight ? [dWeight] : [])] };
}
