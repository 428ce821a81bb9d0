/**
 * The GPU that this process computes on: one Dawn device, created with every feature and limit the adapter has, shared by the tensor library
 * and by kernels of our own.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { GpuDescription } from '#contract/gpu.ts';
import type { FoundAdapter } from './adapter.ts';
import { GpuHealth } from './health.ts';
import { GpuMemory, gpuMemoryBudget } from './memory.ts';

/** One shape that the adapter multiplies subgroup matrices in. */
export interface SubgroupMatrixShape {
  componentType: string;
  resultComponentType: string;
  M: number;
  N: number;
  K: number;
}

export interface Gpu {
  device: GPUDevice;
  /** Of the adapter. */
  name: string;
  software: boolean;
  /** Whether WGSL may use half precision (`enable f16`). */
  f16: boolean;
  /** Lanes of a subgroup, which may differ between pipelines; null where WGSL may not use subgroups. */
  subgroups: { min: number; max: number } | null;
  /** Empty where there are no subgroup matrices. */
  subgroupMatrices: readonly SubgroupMatrixShape[];
  timestamps: boolean;
  health: GpuHealth;
  memory: GpuMemory;
}

const wantedFeatures = [
  'timestamp-query',
  'shader-f16',
  'subgroups',
  'subgroup-size-control',
  'chromium-experimental-subgroup-matrix',
] as GPUFeatureName[];
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

let current: Gpu | undefined;

/** The GPU that was started last in this process, if any. */
export function openedGpu(): Gpu | null {
  return current ?? null;
}

/** The GPU of the active webgpu backend. @throws RoundoffError `internal` before it was started */
export function gpu(): Gpu {
  if (!current) throw new RoundoffError('internal', 'No GPU has been started.', 'Select the webgpu backend first.');
  return current;
}

/** What went wrong on the GPU, where that explains an error that was thrown while it was in use. */
export async function explainGpuError(error: unknown): Promise<unknown> {
  return current ? current.health.explain(error) : error;
}

/** What `doctor` shows of an adapter. */
export function describeGpu(found: FoundAdapter): GpuDescription {
  const { subgroupMatrices, ...features } = featuresOf(found.adapter);
  return {
    ...features,
    memoryBytes: gpuMemoryBudget(found.adapter, found),
    bindingBytes: found.adapter.limits.maxStorageBufferBindingSize,
    subgroupMatrices: subgroupMatrices.map(
      ({ M, N, K, componentType, resultComponentType }) => `${M}x${N}x${K} ${componentType} to ${resultComponentType}`,
    ),
  };
}

/** Creates the device and makes it the one that `gpu` returns. @throws RoundoffError `backend-unavailable` */
export async function openGpu(found: FoundAdapter): Promise<Gpu> {
  const { adapter, device: name, software } = found;
  const limits = adapter.limits as unknown as Record<string, number>;
  let device: GPUDevice;
  try {
    device = await adapter.requestDevice({
      requiredFeatures: wantedFeatures.filter((feature) => adapter.features.has(feature)),
      requiredLimits: Object.fromEntries(raisedLimits.map((limit) => [limit, limits[limit]!])),
    });
  } catch (cause) {
    const message = `the GPU ${name} refused a device: ${(cause as Error).message.replace(/\.$/, '')}`;
    throw new RoundoffError('backend-unavailable', message, 'Update the GPU driver, or choose the wasm backend.', { cause });
  }
  const memory = new GpuMemory(name, gpuMemoryBudget(adapter, found));
  memory.watch(device);
  const opened: Gpu = { device, name, software, ...featuresOf(adapter), health: new GpuHealth(device, { name, software }), memory };
  current = opened;
  return opened;
}

function featuresOf({ features, info }: GPUAdapter): Pick<Gpu, 'f16' | 'subgroups' | 'subgroupMatrices' | 'timestamps'> {
  const has = (feature: string) => features.has(feature);
  const { subgroupMatrixConfigs = [] } = info as GPUAdapterInfo & { subgroupMatrixConfigs?: SubgroupMatrixShape[] };
  return {
    f16: has('shader-f16'),
    subgroups: has('subgroups') ? { min: info.subgroupMinSize!, max: info.subgroupMaxSize! } : null,
    subgroupMatrices: has('chromium-experimental-subgroup-matrix') ? [...subgroupMatrixConfigs] : [],
    timestamps: has('timestamp-query'),
  };
}
