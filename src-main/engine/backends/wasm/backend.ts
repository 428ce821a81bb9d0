/**
 * The `wasm` backend: tfjs-backend-wasm with its matrix product replaced by native GEMM, copies by aliases, slices by copies inside the
 * heap, and our SIMD kernels in that heap. It is the backend that works everywhere.
 */
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { requireKernelSupport } from './kernel-module.ts';
import { registerMatMul } from './matmul.ts';
import type { WasmBackend } from './memory.ts';
import { onnxRuntime } from './onnx-runtime.ts';
import { withSharedMemory } from './shared-heap.ts';
import { registerSlice } from './slice.ts';

let started: Promise<string> | undefined;

/** Makes `wasm` the active backend; returns the device it runs on. @throws RoundoffError `backend-unavailable` */
export async function startWasm(): Promise<string> {
  started ??= start();
  try {
    const device = await started;
    await tf.setBackend('wasm');
    return device;
  } catch (error) {
    started = undefined;
    throw error;
  }
}

async function start(): Promise<string> {
  requireKernelSupport();
  onnxRuntime();
  const require = createRequire(import.meta.url);
  setWasmPaths(join(dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json')), 'dist', '/'));
  const events = ['uncaughtException', 'unhandledRejection'] as const;
  const before = events.map((event) => process.listeners(event as 'uncaughtException'));
  const works = await withSharedMemory(() => tf.setBackend('wasm'));
  // Emscripten's start-up code installs handlers that rethrow, which would hide the process's own handling of errors.
  events.forEach((event, index) => {
    for (const listener of process.listeners(event as 'uncaughtException')) {
      if (!before[index]?.includes(listener)) process.removeListener(event, listener);
    }
  });
  if (!works) {
    throw new RoundoffError('backend-unavailable', 'the WebAssembly backend did not start', 'Reinstall with `npm ci`.');
  }
  registerMatMul();
  registerSlice();
  registerAliasingIdentity();
  const cores = cpus();
  return `${cores[0]?.model.trim() || process.arch} (${cores.length} cores)`;
}

/** The stock kernel copies; sharing the data is what the other backends do. */
function registerAliasingIdentity(): void {
  tf.unregisterKernel('Identity', 'wasm');
  tf.registerKernel({
    kernelName: 'Identity',
    backendName: 'wasm',
    kernelFunc: ({ inputs, backend }) => {
      const x = inputs.x as tf.TensorInfo;
      (backend as WasmBackend).incRef(x.dataId);
      return { dataId: x.dataId, shape: x.shape, dtype: x.dtype };
    },
  });
}
