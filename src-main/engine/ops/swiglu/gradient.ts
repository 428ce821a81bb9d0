/** The gradient of the Swiglu kernels, whichever backend runs them. */
import * as tf from '@tensorflow/tfjs-core';
import { firstGradient, runKernel } from '../kernel.ts';

tf.registerGradient({
  kernelName: 'Swiglu',
  inputsToSave: ['gate', 'up'],
  gradFunc: (dys, saved) => {
    const [gate, up] = saved as [tf.Tensor, tf.Tensor];
    const [dGate, dUp] = runKernel('SwigluGrad', { gate, up, dy: firstGradient(dys) }) as [tf.Tensor, tf.Tensor];
    return { gate: () => dGate, up: () => dUp };
  },
});
