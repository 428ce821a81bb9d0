/** Defining kernels of the webgpu backend beside the composed form of an op. */
import * as tf from '@tensorflow/tfjs-core';
import { dispatch, emptyTensor, type KernelDispatch } from '../backends/webgpu/compute.ts';

export interface GpuCall {
  inputs: Record<string, tf.TensorInfo>;
  attributes: Record<string, unknown>;
  /** A new output without values yet. */
  output(shape: readonly number[], dtype?: tf.DataType): tf.TensorInfo;
  /** Scratch that is freed, once the recorded commands have used it, when the kernel returns. */
  scratch(shape: readonly number[], dtype?: tf.DataType): tf.TensorInfo;
  dispatch(spec: KernelDispatch): void;
}

/** Registers a kernel of the webgpu backend; it returns its outputs. */
export function registerGpuKernel(kernelName: string, run: (call: GpuCall) => tf.TensorInfo[]): void {
  tf.registerKernel({
    kernelName,
    backendName: 'webgpu',
    kernelFunc: ({ inputs, attrs, backend }) => {
      const temporary: tf.TensorInfo[] = [];
      const outputs = run({
        inputs: inputs as Record<string, tf.TensorInfo>,
        attributes: (attrs ?? {}) as Record<string, unknown>,
        output: emptyTensor,
        scratch: (shape, dtype) => {
          const tensor = emptyTensor(shape, dtype);
          temporary.push(tensor);
          return tensor;
        },
        dispatch,
      });
      for (const { dataId } of temporary) (backend as tf.KernelBackend).disposeData(dataId);
      return outputs;
    },
  });
}
