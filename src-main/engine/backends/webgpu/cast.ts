/**
 * `tf.cast` from whole numbers to float32 on the webgpu backend. The stock kernel only changes the label and leaves integers in the buffer,
 * which its own programs know about; kernels of ours read buffers by the label.
 */
import * as tf from '@tensorflow/tfjs-core';
import { dispatch, emptyTensor, groupNumber } from './compute.ts';

const threads = 256;
let stock: tf.KernelFunc | undefined;

export function registerCast(): void {
  stock ??= tf.getKernel('Cast', 'webgpu').kernelFunc;
  tf.unregisterKernel('Cast', 'webgpu');
  tf.registerKernel({ kernelName: 'Cast', backendName: 'webgpu', kernelFunc: castKernel });
}

const castKernel: tf.KernelFunc = (call) => {
  const { x } = call.inputs as { x: tf.TensorInfo };
  const count = tf.util.sizeFromShape(x.shape);
  if (call.attrs?.dtype !== 'float32' || !['int32', 'bool'].includes(x.dtype) || count === 0) return stock!(call);
  const y = emptyTensor(x.shape);
  dispatch({
    ...{ name: 'cast-to-float', reads: { x }, writes: { y }, integers: { count } },
    code: () => `${groupNumber}
      @compute @workgroup_size(${threads})
      fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>, @builtin(local_invocation_index) lane : u32) {
        let at = groupNumber(id, groups) * ${threads}u + lane;
        if (at < parameters.count) { y[at] = f32(x[at]); }
      }`,
    workgroups: Math.ceil(count / threads),
  });
  return y;
};
