/** SwiGLU on the webgpu backend, one dispatch forward and one per gradient. */
import type * as tf from '@tensorflow/tfjs-core';
import { sizeOf } from '../kernel.ts';
import { groupSize, type RunProgram, registerWebGpuKernel } from '../webgpu-program.ts';

/** `expression` may use g = gate[place], s = σ(g), and the inputs at `place`. */
function elementwise(run: RunProgram, name: string, inputs: Record<string, tf.TensorInfo>, expression: string): tf.TensorInfo {
  const { gate } = inputs as { gate: tf.TensorInfo };
  const count = sizeOf(gate);
  return run({
    name,
    outputShape: gate.shape,
    inputs,
    workgroups: Math.ceil(count / groupSize),
    integers: { count },
    code: `fn main(index : i32) {
      let place = group() * ${groupSize} + i32(localIndex);
      if (place >= uniforms.count) { return; }
      let g = gate[place];
      let s = 1.0 / (1.0 + exp(-g));
      result[place] = ${expression};
    }`,
  });
}

registerWebGpuKernel('Swiglu', ({ inputs, run }) => {
  const { gate, up } = inputs as { gate: tf.TensorInfo; up: tf.TensorInfo };
  return [elementwise(run, 'swiglu', { gate, up }, 'g * s * up[place]')];
});

registerWebGpuKernel('SwigluGrad', ({ inputs, run }) => {
  const { gate, up, dy } = inputs as { gate: tf.TensorInfo; up: tf.TensorInfo; dy: tf.TensorInfo };
  return [
    elementwise(run, 'swiglu-dgate', { gate, up, dy }, 'dy[place] * up[place] * s * (1.0 + g * (1.0 - s))'),
    elementwise(run, 'swiglu-dup', { gate, dy }, 'dy[place] * g * s'),
  ];
});
