/**
 * The `webgpu` backend: tfjs-backend-webgpu on a Dawn device we create ourselves, with the adapter's own limits and features, so that our
 * kernels and the tensor library share one device.
 */

import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { type FoundAdapter, findAdapter } from './adapter.ts';

const wantedFeatures = ['timestamp-query', 'shader-f16', 'subgroups', 'subgroup-size-control'] as const;
const raisedLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
  'maxComputeWorkgroupsPerDimension',
  'maxStorageBuffersPerShaderStage',
] as const;

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
  const found = await findAdapter(options);
  const device = await requestDevice(found);
  // The package looks for navigator.gpu at import and at construction; the device is ours, so it never asks that object for anything.
  Object.defineProperty(globalThis.navigator, 'gpu', { value: {}, configurable: true });
  const { WebGPUBackend } = await import('@tensorflow/tfjs-backend-webgpu');
  tf.removeBackend('webgpu');
  tf.registerBackend('webgpu', () => failOnGpuErrors(new WebGPUBackend(device, found.adapter.info), device), 3);
  if (!(await tf.setBackend('webgpu'))) {
    throw new RoundoffError(
      'backend-unavailable',
      `the webgpu backend did not start on ${found.device}`,
      'Update the GPU driver, or choose wasm.',
    );
  }
  return found.software ? `${found.device} (software)` : found.device;
}

/** WebGPU reports invalid commands out of band and computes on with zeros, so reading any result afterwards has to fail. */
function failOnGpuErrors<Backend extends tf.KernelBackend>(backend: Backend, device: GPUDevice): Backend {
  let firstError: string | undefined;
  device.addEventListener('uncapturederror', (event) => {
    event.preventDefault();
    firstError ??= event.error.message;
  });
  void device.lost.then(({ reason, message }) => {
    if (reason !== 'destroyed') firstError ??= `the device was lost: ${message}`;
  });
  const read = backend.read.bind(backend);
  backend.read = async (dataId) => {
    const values = await read(dataId);
    if (firstError !== undefined) {
      throw new RoundoffError(
        'internal',
        `the GPU rejected a command: ${firstError}`,
        'Use the wasm backend, and please report this message.',
      );
    }
    return values;
  };
  return backend;
}

async function requestDevice({ adapter, device: name }: FoundAdapter): Promise<GPUDevice> {
  const requiredFeatures = wantedFeatures.filter((feature) => adapter.features.has(feature)) as GPUFeatureName[];
  const limits = adapter.limits as unknown as Record<string, number>;
  const requiredLimits = Object.fromEntries(raisedLimits.map((limit) => [limit, limits[limit]!]));
  try {
    return await adapter.requestDevice({ requiredFeatures, requiredLimits });
  } catch (cause) {
    const message = `the GPU ${name} refused a device: ${(cause as Error).message}`;
    throw new RoundoffError('backend-unavailable', message, 'Update the GPU driver, or choose the wasm backend.', { cause });
  }
}
