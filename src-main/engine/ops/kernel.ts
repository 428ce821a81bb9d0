/** How ops find and define kernels of their own beside the composed form. */
import * as tf from '@tensorflow/tfjs-core';
import { pointerOf, type WasmBackend } from '../backends/wasm/memory.ts';

/** Whether the active backend has a kernel of this name. */
export function hasKernel(name: string): boolean {
  return tf.getKernel(name, tf.getBackend()) !== undefined;
}

/** Runs a kernel under the gradient tape. */
export function runKernel(name: string, inputs: Record<string, tf.Tensor>, attributes: Record<string, unknown> = {}): tf.Tensor[] {
  const result = tf.engine().runKernel(name, inputs, attributes as tf.NamedAttrMap) as unknown as tf.Tensor | tf.Tensor[];
  return Array.isArray(result) ? result : [result];
}

export interface WasmCall {
  inputs: Record<string, tf.TensorInfo>;
  attributes: Record<string, unknown>;
  /** A new uninitialised output. */
  output(shape: readonly number[], dtype?: tf.DataType): tf.TensorInfo;
}

/** Registers a kernel of the wasm backend. Take pointers with `pointerOf` only after the last `output`. */
export function registerWasmKernel(kernelName: string, run: (call: WasmCall) => tf.TensorInfo[]): void {
  tf.registerKernel({
    kernelName,
    backendName: 'wasm',
    kernelFunc: ({ inputs, attrs, backend }) =>
      run({
        inputs: inputs as Record<string, tf.TensorInfo>,
        attributes: (attrs ?? {}) as Record<string, unknown>,
        output: (shape, dtype = 'float32') => (backend as WasmBackend).makeOutput([...shape], dtype),
      }),
  });
}

export function pointers(...tensors: tf.TensorInfo[]): number[] {
  return tensors.map(pointerOf);
}

export function sizeOf(tensor: tf.TensorInfo): number {
  return tf.util.sizeFromShape(tensor.shape);
}

/** The gradient of a kernel's first output; kernels keep others for the backward pass only. */
export function firstGradient(dy: tf.Tensor | tf.Tensor[]): tf.Tensor {
  return Array.isArray(dy) ? dy[0]! : dy;
}
