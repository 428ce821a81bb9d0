/**
 * The worker's entry on a GPU that fails as `ROUNDOFF_TEST_GPU` says: `blocked` and `refused` at the start; `lost`, `memory` and `silent` at
 * the first work after the run has reported a sample or, where it trains, its fifth step.
 */
import { globals } from 'webgpu';
import type { WorkerToMain } from '#contract/worker.ts';

type Globals = Record<'GPU' | 'GPUAdapter' | 'GPUQueue' | 'GPUBuffer', { prototype: never }> & {
  GPUUncapturedErrorEvent: new (type: string, init: { error: GPUError }) => Event;
  GPUOutOfMemoryError: new (message: string) => GPUError;
};

const { GPU, GPUAdapter, GPUQueue, GPUBuffer, GPUUncapturedErrorEvent, GPUOutOfMemoryError } = globals as unknown as Globals;
const failure = process.env.ROUNDOFF_TEST_GPU;
const firstSteps = 5;
let trains = false;
let isDue = false;
let device: GPUDevice | undefined;

process.on('message', (message: { type: string; request?: { recipe: { stages: { type: string }[] } } }) => {
  if (message.type === 'run') trains = message.request!.recipe.stages.some(({ type }) => type === 'train');
});
const send = process.send?.bind(process) as ((...values: unknown[]) => boolean) | undefined;
process.send = (...values: unknown[]) => {
  const message = values[0] as WorkerToMain;
  if (message.type === 'events') {
    isDue ||= message.events.some((event) =>
      trains ? event.type === 'metric' && event.name === 'gradient-norm' && event.step >= firstSteps : event.type === 'sample',
    );
  }
  return send!(...values);
};

/** Puts a function of our own in a method's place, which gets the method to call. */
function replace<Target, Values extends unknown[], Result>(
  target: Target,
  name: keyof Target,
  own: (self: unknown, method: (...values: Values) => Result, values: Values) => Result,
): void {
  const method = target[name] as (...values: Values) => Result;
  Object.assign(target as object, {
    [name](this: unknown, ...values: Values) {
      return own(this, method.bind(this), values);
    },
  });
}

const isProbe = process.argv.includes('--backends');
replace(GPU.prototype as GPU, 'requestAdapter', async (_, request: (options: unknown) => Promise<unknown>, [options]) =>
  failure === 'blocked' && !isProbe ? null : request(options),
);
replace(GPUAdapter.prototype as GPUAdapter, 'requestDevice', async (_, request: (options: unknown) => Promise<GPUDevice>, [options]) => {
  if (failure === 'refused') throw new Error('vkCreateDevice failed with VK_ERROR_INITIALIZATION_FAILED');
  device = await request(options);
  return device;
});
replace(GPUQueue.prototype as GPUQueue, 'submit', (_, submit: (buffers: unknown) => void, [buffers]) => {
  submit(buffers);
  if (!isDue) return;
  if (failure === 'lost') device!.destroy();
  const error = new GPUOutOfMemoryError('Allocation of 8589934592 bytes failed: VK_ERROR_OUT_OF_DEVICE_MEMORY');
  if (failure === 'memory') device!.dispatchEvent(new GPUUncapturedErrorEvent('uncapturederror', { error }));
});
replace(GPUBuffer.prototype as GPUBuffer, 'mapAsync', (_, map: (mode: unknown) => Promise<unknown>, [mode]) =>
  isDue && failure === 'silent' ? new Promise(() => undefined) : map(mode),
);

await import('../../src-main/worker/index.ts');
