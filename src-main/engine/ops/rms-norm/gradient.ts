/** The gradient of the RmsNorm kernels, whichever backend runs them. */
import * as tf from '@tensorflow/tfjs-core';
import { firstGradient, runKernel } from '../kernel.ts';

tf.registerGradient({
  kernelName: 'RmsNorm',
  inputsToSave: ['x', 'weight'],
  outputsToSave: [false, true],
  gradFunc: (dys, saved) => {
    const [x, weight, rstd] = saved as [tf.Tensor, tf.Tensor, tf.Tensor];
    const [dx, dWeight] = runKernel('RmsNormGrad', { x, weight, dy: firstGradient(dys), rstd }) as [tf.Tensor, tf.Tensor];
    return { x: () => dx, weight: () => dWeight };
  },
});
