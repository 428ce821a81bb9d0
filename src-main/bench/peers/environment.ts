/** What the figures were measured on. */
import type { BackendName } from '#contract/worker.ts';
import { selectBackend } from '../../engine/backends/select.ts';
import { gpu } from '../../engine/backends/webgpu/device.ts';

export interface DeviceDescription {
  device: string;
  software: boolean;
  /** What WebGPU can do there; empty for other backends. */
  features: string[];
  limits: Record<string, number>;
}

export async function describeDevice(backend: BackendName): Promise<DeviceDescription> {
  const { device } = await selectBackend(backend);
  if (backend !== 'webgpu') return { device, software: false, features: [], limits: {} };
  const { f16, subgroups, subgroupMatrices, timestamps, software, device: opened } = gpu();
  const matrices = subgroupMatrices.map(
    ({ componentType, resultComponentType, M, N, K }) => `${M}×${N}×${K} ${componentType}→${resultComponentType}`,
  );
  const features = [
    ...(f16 ? ['half precision'] : []),
    ...(subgroups ? [`subgroups of ${subgroups.min === subgroups.max ? subgroups.min : `${subgroups.min} to ${subgroups.max}`}`] : []),
    ...(matrices.length > 0 ? [`subgroup matrices ${matrices.join(', ')}`] : []),
    ...(timestamps ? ['timestamps'] : []),
  ];
  const { maxStorageBufferBindingSize, maxBufferSize, maxComputeWorkgroupStorageSize } = opened.limits;
  return { device, software, features, limits: { maxStorageBufferBindingSize, maxBufferSize, maxComputeWorkgroupStorageSize } };
}
