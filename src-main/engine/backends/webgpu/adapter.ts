/**
 * Finds a WebGPU adapter through Dawn (npm `webgpu`) in plain Node. Real adapters come first; a software one (SwiftShader as Chromium ships
 * it, or Mesa's lavapipe) is only looked for when the caller asks, since it is slower than the wasm backend.
 */
import { existsSync } from 'node:fs';
import koffi from 'koffi';
import { RoundoffError } from '#contract/errors.ts';
import { missingAdapter } from './missing-adapter.ts';
import { withoutStderr } from './without-stderr.ts';

export interface FoundAdapter {
  adapter: GPUAdapter;
  device: string;
  software: boolean;
}

const vulkanLoader = 'libvulkan.so.1';
/** Lavapipe first: it has half precision. */
const softwareDrivers = ['/usr/share/vulkan/icd.d', '/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome'].flatMap(
  (folder) =>
    ['lvp_icd.x86_64.json', 'lvp_icd.aarch64.json', 'lvp_icd.json', 'vk_swiftshader_icd.json'].map((file) => ({
      folder,
      path: `${folder}/${file}`,
    })),
);
/** Either names the drivers that the Vulkan loader is to use, and no others. */
const driverVariables = ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES'];

/** Each kind is looked for once per process, which takes a while where drivers are many. */
let realAdapter: Promise<FoundAdapter | null> | undefined;
let softwareAdapter: Promise<FoundAdapter | null> | undefined;
let hasLoader = false;

/** @throws RoundoffError `backend-unavailable` with the reason when there is no adapter. */
export async function findAdapter(options: { allowSoftware: boolean }): Promise<FoundAdapter> {
  if (!realAdapter) {
    hasLoader = process.platform !== 'linux' || loadable(vulkanLoader);
    realAdapter = hasLoader ? requestAdapter() : Promise.resolve(null);
  }
  const real = await realAdapter;
  if (real && (!real.software || options.allowSoftware)) return real;
  if (real) {
    throw new RoundoffError(
      'backend-unavailable',
      `the only GPU adapter is software (${real.device}), slower than the wasm backend`,
      'Choose the webgpu backend by name to use it all the same.',
    );
  }
  if (options.allowSoftware) softwareAdapter ??= requestSoftwareAdapter();
  const software = options.allowSoftware ? await softwareAdapter : null;
  if (software) return software;
  throw missingAdapter();
}

async function requestSoftwareAdapter(): Promise<FoundAdapter | null> {
  if (process.platform !== 'linux' || driverVariables.some((name) => process.env[name])) return null;
  const driver = softwareDrivers.find(({ path }) => existsSync(path));
  if (!driver) return null;
  // Chromium brings a loader beside its driver; once it is in the process Dawn finds it by name.
  if (!hasLoader && !loadable(`${driver.folder}/${vulkanLoader}`)) return null;
  for (const name of driverVariables) process.env[name] = driver.path;
  try {
    return await requestAdapter();
  } finally {
    for (const name of driverVariables) delete process.env[name];
  }
}

/** Dawn's objects must outlive everything made from them. */
const instances: GPU[] = [];

async function requestAdapter(): Promise<FoundAdapter | null> {
  const dawn = await import('webgpu').catch((cause) => {
    const message = `Dawn's binding cannot be loaded: ${(cause as Error).message}`;
    throw new RoundoffError('backend-unavailable', message, 'Reinstall with `npm ci`.', { cause });
  });
  Object.assign(globalThis, dawn.globals);
  // Subgroup matrices are offered only to those who ask for unsafe features by name.
  const gpu = dawn.create(['enable-dawn-features=allow_unsafe_apis']);
  instances.push(gpu);
  const adapter = await withoutStderr(() => gpu.requestAdapter({ powerPreference: 'high-performance' }));
  if (!adapter) return null;
  const { info } = adapter;
  const device = [info.vendor, info.architecture, info.description || info.device].filter(Boolean).join(' ');
  const software = info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|basic render|warp/i.test(device);
  return { adapter, device, software };
}

function loadable(library: string): boolean {
  try {
    koffi.load(library);
    return true;
  } catch {
    return false;
  }
}
