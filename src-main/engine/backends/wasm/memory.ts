/**
 * The wasm backend's heap, as our kernels and the native GEMM see it: byte offsets into one `WebAssembly.Memory` that never moves in this
 * process, only grows, and is shared with our kernel threads. A view ends where the heap ended when it was taken, so take views from here
 * after the last allocation.
 */

import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';

/** What we use of tfjs-backend-wasm's backend object (4.22.0). */
export interface WasmBackend extends tf.KernelBackend {
  wasm: {
    HEAPU8: Uint8Array;
    asm: { memory: { buffer: SharedArrayBuffer } };
    _malloc(sizeBytes: number): number;
    _free(offset: number): void;
  };
  dataIdMap: { get(dataId: object): { id: number; memoryOffset: number } };
  makeOutput(shape: number[], dtype: tf.DataType): tf.TensorInfo;
  incRef(dataId: object): void;
}

/** @throws RoundoffError `internal` when another backend is active. */
export function wasmBackend(): WasmBackend {
  if (tf.getBackend() !== 'wasm') {
    throw new RoundoffError(
      'internal',
      `the wasm heap was asked for while backend ${tf.getBackend()} is active`,
      'Select the wasm backend first.',
    );
  }
  return tf.backend() as unknown as WasmBackend;
}

export function heapBuffer(): SharedArrayBuffer {
  return wasmBackend().wasm.HEAPU8.buffer as SharedArrayBuffer;
}

/** Reserves bytes on the heap; returns their byte offset, a multiple of 8. Give it back with `release`. */
export function allocate(sizeBytes: number): number {
  const offset = wasmBackend().wasm._malloc(sizeBytes) >>> 0;
  if (offset === 0) {
    throw new RoundoffError(
      'out-of-memory',
      `the wasm heap cannot hold another ${(sizeBytes / 2 ** 20).toFixed(1)} MiB (it ends at 4 GiB)`,
      'Use a smaller model or batch, or the webgpu or tensorflow backend.',
    );
  }
  return offset;
}

export function release(offset: number): void {
  wasmBackend().wasm._free(offset);
}

/** Byte offset of a tensor's values. Valid while the tensor lives. */
export function pointerOf(tensor: tf.TensorInfo): number {
  return wasmBackend().dataIdMap.get(tensor.dataId).memoryOffset;
}

/** A view over `length` floats at a byte offset. */
export function floatsAt(offset: number, length: number): Float32Array<SharedArrayBuffer> {
  return new Float32Array(heapBuffer(), offset, length);
}

export function doublesAt(offset: number, length: number): Float64Array<SharedArrayBuffer> {
  return new Float64Array(heapBuffer(), offset, length);
}

export function intsAt(offset: number, length: number): Int32Array<SharedArrayBuffer> {
  return new Int32Array(heapBuffer(), offset, length);
}
