/** Kernels of the package that are replaced. */
import * as tf from '@tensorflow/tfjs-core';

export interface Attribute {
  name: string;
  type: number;
  value: number | boolean;
}

/** A tensor of TensorFlow's own, which the tensor library does not know of. */
export interface NativeTensor {
  id: number;
  shape: number[];
  dtype: number;
}

/** What is used of the package's backend. */
export interface NativeBackend extends tf.KernelBackend {
  binding: {
    TF_ATTR_INT: number;
    TF_ATTR_TYPE: number;
    TF_ATTR_BOOL: number;
    executeOp(name: string, attributes: Attribute[], inputs: number[], outputs: number): NativeTensor[];
    deleteTensor(id: number): void;
  };
  getDTypeInteger(dtype: tf.DataType): number;
  executeSingleOutput(name: string, attributes: Attribute[], inputs: tf.TensorInfo[]): tf.TensorInfo;
  /** Uploads those that TensorFlow does not hold yet. */
  getInputTensorIds(inputs: tf.TensorInfo[]): number[];
  createOutputTensor(native: NativeTensor): tf.TensorInfo;
}

/** The package reads all indices back before it gathers, which on a GPU waits for everything queued. TensorFlow checks them itself. */
export function registerGather(): void {
  tf.unregisterKernel('GatherV2', 'tensorflow');
  tf.registerKernel({
    kernelName: 'GatherV2',
    backendName: 'tensorflow',
    kernelFunc: ({ inputs, attrs, backend: active }) => {
      const { x, indices } = inputs as { x: tf.Tensor; indices: tf.Tensor };
      const { axis, batchDims } = attrs as unknown as { axis: number; batchDims: number };
      const backend = active as NativeBackend;
      const { binding } = backend;
      const type = (name: string, dtype: tf.DataType) => ({ name, type: binding.TF_ATTR_TYPE, value: backend.getDTypeInteger(dtype) });
      const attributes = [
        { name: 'batch_dims', type: binding.TF_ATTR_INT, value: batchDims },
        type('Tparams', x.dtype),
        type('Tindices', indices.dtype),
        type('Taxis', 'int32'),
      ];
      const axisTensor = tf.scalar(axis, 'int32');
      const result = backend.executeSingleOutput('GatherV2', attributes, [x, indices, axisTensor]);
      axisTensor.dispose();
      return result;
    },
  });
}
