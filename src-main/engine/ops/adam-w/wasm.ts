/** AdamW on the wasm backend: one pass over parameter, gradient and moments, written where they lie. */
import type * as tf from '@tensorflow/tfjs-core';
import { runParallel } from '../../backends/wasm/kernel-module.ts';
import { floatsAt, pointerOf } from '../../backends/wasm/memory.ts';
import type { AdamWSettings, Moments } from './index.ts';

/** A multiple of 4. */
const elementsPerChunk = 2 ** 15;

export function adamWInHeap(parameter: tf.Tensor, gradient: tf.Tensor, moments: Moments, settings: Required<AdamWSettings>): void {
  const { learningRate, step, beta1, beta2, epsilon, weightDecay, gradientScale } = settings;
  const places = [parameter, gradient, moments.mean, moments.square].map(pointerOf);
  runParallel('adamW', parameter.size, elementsPerChunk, [
    ...places,
    floatsAt(pointerOf(gradientScale), 1)[0]!,
    beta1,
    beta2,
    1 - beta1,
    1 - beta2,
    epsilon,
    learningRate / (1 - beta1 ** step),
    1 / (1 - beta2 ** step),
    1 - learningRate * weightDecay,
  ]);
}
