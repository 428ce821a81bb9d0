/** The global norm on the wasm backend, summed in double precision. */
import * as tf from '@tensorflow/tfjs-core';
import { kernels } from '../../backends/wasm/kernel-module.ts';
import { pointerOf } from '../../backends/wasm/memory.ts';

export function globalNormInHeap(gradients: tf.Tensor[]): tf.Scalar {
  const squares = gradients.reduce((sum, gradient) => sum + kernels().sumOfSquares(pointerOf(gradient), gradient.size), 0);
  return tf.scalar(Math.sqrt(squares));
}
