/** Clamping each row to a learnt share of its own range: FlatQuant's learnable weight clipping (arXiv 2410.09426). */
import * as tf from '@tensorflow/tfjs-core';
import { hasKernel, runKernel } from '../kernel.ts';
import { clampRowsGradientReference, clampRowsReference } from './reference.ts';
import './wasm.ts';
import './webgpu.ts';

/**
 * min(max(x, min x · low), max x · high) row by row. A clamped value passes its gradient to the bound: to the factor and the row's extreme.
 * @param x [rows, size]
 * @param high [rows], factors of the largest values, as `low` of the smallest
 */
export function clampRows(x: tf.Tensor2D, high: tf.Tensor1D, low: tf.Tensor1D): tf.Tensor2D {
  const onKernel = hasKernel('ClampRows');
  const op = tf.customGrad((...inputs: (tf.Tensor | tf.GradSaveFunc)[]) => {
    const [values, high, low, save] = inputs as [tf.Tensor2D, tf.Tensor1D, tf.Tensor1D, tf.GradSaveFunc];
    if (!onKernel) {
      save([values, high, low]);
      return { value: clampRowsReference(values, high, low), gradFunc: clampRowsGradientReference };
    }
    const [value, stats] = runKernel('ClampRows', { x: values, high, low }) as [tf.Tensor, tf.Tensor];
    save([values, stats, high, low]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [x, stats, high, low] = saved as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      return runKernel('ClampRowsGrad', { x, dy, stats, high, low });
    };
    return { value, gradFunc };
  });
  return op(x, high, low) as tf.Tensor2D;
}
