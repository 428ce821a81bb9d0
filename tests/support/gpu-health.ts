/** After every test file: the GPU, where one was used, has reported nothing wrong, no error that nobody waited for either. */
import { afterAll } from 'vitest';

let isExpected = false;

/** Called by tests that make the GPU report something. */
export function expectGpuFailure(): void {
  isExpected = true;
}

afterAll(async () => {
  const { openedGpu } = await import('../../src-main/engine/backends/webgpu/device.ts');
  const gpu = openedGpu();
  if (!gpu || isExpected) return;
  const tf = await import('@tensorflow/tfjs-core');
  const { flush } = await import('../../src-main/engine/backends/webgpu/compute.ts');
  if (tf.getBackend() === 'webgpu') flush();
  await gpu.health.wait(gpu.device.queue.onSubmittedWorkDone());
});
