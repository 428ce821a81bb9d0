/** Statistics and loss of one chunk of rows from plain tensor ops, for backends without a kernel. */
import * as tf from '@tensorflow/tfjs-core';
import type { PolicyRows, PolicySettings } from './index.ts';

/** @param logits [rows, vocab] @returns statistics [rows], 0 where the weight is, and probabilities [rows, vocab] */
export function rowStatistics(logits: tf.Tensor2D, targets: tf.Tensor1D, weights: tf.Tensor1D, temperature: number) {
  const logSoftmax = tf.logSoftmax(tf.div(logits, temperature)) as tf.Tensor2D;
  const probabilities = tf.exp(logSoftmax);
  const counts = tf.cast(tf.notEqual(weights, 0), 'float32');
  const picked = tf.sum(tf.mul(logSoftmax, tf.cast(tf.oneHot(targets, logits.shape[1]), 'float32')), 1);
  const entropies = tf.neg(tf.sum(tf.mul(probabilities, logSoftmax), 1));
  return {
    probabilities,
    logProbabilities: tf.mul(picked, counts) as tf.Tensor1D,
    entropies: tf.mul(entropies, counts) as tf.Tensor1D,
  };
}

/** Losses [rows], times their weights, and their derivatives in the log-probabilities. */
export function policyLoss(
  logp: tf.Tensor1D,
  { weights, advantages, old, reference, importance }: PolicyRows,
  { clipLow, clipHigh, beta }: PolicySettings,
): { losses: tf.Tensor; slopes: tf.Tensor } {
  const ratio = old ? tf.exp(tf.sub(logp, old)) : tf.onesLike(logp);
  const free = tf.mul(ratio, advantages);
  const held = tf.mul(tf.clipByValue(ratio, 1 - clipLow, 1 + clipHigh), advantages);
  const factor = tf.neg(importance ?? tf.onesLike(logp));
  let losses = tf.mul(factor, tf.minimum(free, held));
  let slopes = tf.mul(factor, tf.mul(free, tf.cast(tf.lessEqual(free, held), 'float32')));
  if (reference) {
    const distance = tf.sub(reference, logp);
    const k3 = excess(distance);
    losses = tf.add(losses, tf.mul(k3, beta));
    slopes = tf.sub(slopes, tf.mul(tf.add(distance, k3), beta));
  }
  return { losses: tf.mul(losses, weights), slopes: tf.mul(slopes, weights) };
}

/** eᵈ − 1 − d; by its series near 0, where the difference would cancel. */
function excess(d: tf.Tensor): tf.Tensor {
  const coefficients = [1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2];
  const series = coefficients.slice(1).reduce<tf.Tensor>((sum, next) => tf.add(tf.mul(sum, d), next), tf.scalar(coefficients[0]!));
  const near = tf.mul(tf.square(d), series);
  return tf.where(tf.lessEqual(tf.abs(d), 0.25), near, tf.sub(tf.sub(tf.exp(d), 1), d));
}
