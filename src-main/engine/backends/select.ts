/**
 * Chooses the backend a run computes on: the one asked for by name, or the first that works of tensorflow, webgpu and wasm, with a reason for
 * every one that was passed over.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { BackendStatus } from '#contract/records.ts';
import type { BackendName, BackendPreference } from '#contract/worker.ts';
import './gradients.ts';
import { describeTensorflow, startTensorflow } from './tensorflow/backend.ts';
import { startWasm } from './wasm/backend.ts';
import { requireKernelSupport } from './wasm/kernel-module.ts';
import { onnxRuntime } from './wasm/onnx-runtime.ts';
import { findAdapter } from './webgpu/adapter.ts';
import { startWebGpu } from './webgpu/backend.ts';

import { describeGpu } from './webgpu/device.ts';

export { explainGpuError } from './webgpu/device.ts';

export interface SelectedBackend {
  name: BackendName;
  device: string;
  /** Backends that come before it and why each was passed over, remedy included. */
  skipped: { backend: BackendName; reason: string }[];
}

const order: readonly BackendName[] = ['tensorflow', 'webgpu', 'wasm'];

/**
 * Starts a backend and makes it the active one.
 * @throws RoundoffError `backend-unavailable` when the named backend, or every backend, does not work here.
 */
export async function selectBackend(preference: BackendPreference): Promise<SelectedBackend> {
  if (preference !== 'auto') return { name: preference, device: await startByName(preference), skipped: [] };
  const skipped: SelectedBackend['skipped'] = [];
  for (const backend of order) {
    try {
      return { name: backend, device: await start(backend, { byName: false }), skipped };
    } catch (error) {
      skipped.push({ backend, reason: reasonOf(error) });
    }
  }
  throw new RoundoffError(
    'backend-unavailable',
    'no backend works on this machine',
    'Reinstall with `npm ci`; `roundoff doctor` shows the details.',
    {
      problems: skipped.map(({ backend, reason }) => `${backend}: ${reason}`),
    },
  );
}

/** What `doctor` shows: every backend, whether it works here, and if not why and what to do. Changes nothing. */
export async function listBackends(): Promise<BackendStatus[]> {
  return Promise.all(order.map(status));
}

/** The reasons say "its …": shown alone, they need the backend's name. */
async function startByName(backend: BackendName): Promise<string> {
  try {
    return await start(backend, { byName: true });
  } catch (cause) {
    if (!(cause instanceof RoundoffError)) throw cause;
    throw new RoundoffError(cause.code, `The backend ${backend} cannot be used: ${cause.message}.`, cause.hint, { cause });
  }
}

function start(backend: BackendName, { byName }: { byName: boolean }): Promise<string> {
  if (backend === 'tensorflow') return startTensorflow({ allowCpu: byName });
  return backend === 'webgpu' ? startWebGpu({ allowSoftware: byName }) : startWasm();
}

async function status(name: BackendName): Promise<BackendStatus> {
  try {
    return { name, available: true, ...(await probe(name)) };
  } catch (error) {
    return { name, available: false, device: null, reason: reasonOf(error) };
  }
}

async function probe(name: BackendName): Promise<Pick<BackendStatus, 'device' | 'reason' | 'gpu'>> {
  if (name === 'tensorflow') return describeTensorflow();
  if (name === 'wasm') {
    requireKernelSupport();
    return { device: `WebAssembly, ONNX Runtime ${onnxRuntime().version}`, reason: null };
  }
  const found = await findAdapter({ allowSoftware: true });
  const reason = found.software ? 'Software adapter: used only when webgpu is chosen by name.' : null;
  return { device: found.device, reason, gpu: describeGpu(found) };
}

function reasonOf(error: unknown): string {
  if (error instanceof RoundoffError) return `${error.message}. ${error.hint}`;
  return error instanceof Error ? error.message : String(error);
}
