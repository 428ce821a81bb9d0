/** AdamW with decoupled weight decay, updating parameters and moments in place (Loshchilov & Hutter, arXiv 1711.05101, algorithm 2). */
import * as tf from '@tensorflow/tfjs-core';
import { adamWInHeap } from './wasm.ts';

export interface AdamWSettings {
  learningRate: number;
  /** Number of this update, from 1. */
  step: number;
  beta1?: number;
  beta2?: number;
  epsilon?: number;
  /** Decoupled: the parameter shrinks by learningRate · weightDecay. */
  weightDecay?: number;
  /** Factor on the gradient, as `clipByGlobalNorm` gives it. */
  gradientScale?: tf.Scalar;
}

/** A parameter's running moments, shaped like it, kept across steps. */
export interface Moments {
  mean: tf.Variable;
  square: tf.Variable;
}

/** Zero moments for a parameter. They belong to the caller, who disposes them. */
export function createMoments(parameter: tf.Tensor): Moments {
  return tf.tidy(() => ({
    mean: tf.variable(tf.zeros(parameter.shape), false),
    square: tf.variable(tf.zeros(parameter.shape), false),
  }));
}

/**
 * One update of one parameter: m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w(1 − lr·decay) − lr·m̂/(√v̂ + ε) with bias-corrected m̂, v̂.
 * Afterwards `parameter` and `moments` hold the new values under the same tensors.
 */
export function adamW(parameter: tf.Variable, gradient: tf.Tensor, moments: Moments, settings: AdamWSettings): void {
  const { learningRate, step, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0, gradientScale } = settings;
  if (tf.getBackend() === 'wasm') {
    const scale = gradientScale ?? tf.scalar(1);
    adamWInHeap(parameter, gradient, moments, { learningRate, step, beta1, beta2, epsilon, weightDecay, gradientScale: scale });
    if (!gradientScale) scale.dispose();
    return;
  }
  tf.tidy(() => {
    const g = gradientScale ? tf.mul(gradient, gradientScale) : gradient;
    moments.mean.assign(tf.add(tf.mul(moments.mean, beta1), tf.mul(g, 1 - beta1)));
    moments.square.assign(tf.add(tf.mul(moments.square, beta2), tf.mul(tf.square(g), 1 - beta2)));
    const corrected = tf.sqrt(tf.div(moments.square, 1 - beta2 ** step));
    const update = tf.div(tf.mul(moments.mean, learningRate / (1 - beta1 ** step)), tf.add(corrected, epsilon));
    parameter.assign(tf.sub(tf.mul(parameter, 1 - learningRate * weightDecay), update));
  });
}
