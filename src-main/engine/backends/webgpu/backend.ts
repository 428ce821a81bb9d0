/**
 * The `webgpu` backend: tfjs-backend-webgpu on a Dawn device we create ourselves, with the adapter's own limits and features, so that our
 * kernels and the tensor library share one device.
 */

import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { chosenProductPrecision, describeDevice } from '../product-precision.ts';
import { findAdapter } from './adapter.ts';
import { registerCast } from './cast.ts';
import { forgetDevice } from './compute.ts';
import { type Gpu, openGpu } from './device.ts';
import { setProductPrecision } from './gemm/index.ts';
import { registerMatMul } from './matmul.ts';
import { shareTensorPool } from './tensor-pool.ts';

/** The library's own choice of 15 submits a training step dozens of times; the GPU is to begin early all the same. */
const dispatchesPerSubmit = 64;

let started: Promise<string> | undefined;

/** Makes `webgpu` the active backend; returns the device's name. @throws RoundoffError `backend-unavailable` */
export async function startWebGpu(options: { allowSoftware: boolean }): Promise<string> {
  started ??= start(options);
  try {
    const device = await started;
    await tf.setBackend('webgpu');
    return device;
  } catch (error) {
    started = undefined;
    throw error;
  }
}

async function start(options: { allowSoftware: boolean }): Promise<string> {
  const precision = chosenProductPrecision();
  const found = await findAdapter(options);
  forgetDevice();
  const opened = await openGpu(found);
  // The package looks for navigator.gpu at import and at construction; the device is ours, so it never asks that object for anything.
  Object.defineProperty(globalThis.navigator, 'gpu', { value: {}, configurable: true });
  const { WebGPUBackend } = await import('@tensorflow/tfjs-backend-webgpu');
  registerMatMul();
  registerCast();
  tf.removeBackend('webgpu');
  tf.registerBackend('webgpu', () => watched(new WebGPUBackend(opened.device, found.adapter.info), opened), 3);
  tf.env().set('WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE', dispatchesPerSubmit);
  if (!(await tf.setBackend('webgpu'))) {
    throw new RoundoffError(
      'backend-unavailable',
      `the webgpu backend did not start on ${found.device}`,
      'Update the GPU driver, or choose wasm.',
    );
  }
  setProductPrecision(precision);
  return describeDevice(found.device, precision, found.software ? ['software'] : []);
}

/** Reading a result fails with whatever has gone wrong on the device, and when it does not answer; memory is counted. */
function watched<Backend extends tf.KernelBackend>(backend: Backend, { health, memory }: Gpu): Backend {
  shareTensorPool(backend, memory);
  const read = backend.read.bind(backend);
  backend.read = (dataId) => health.wait(read(dataId));
  return backend;
}
