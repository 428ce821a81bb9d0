/**
 * The GPUs that the Vulkan loader lists, with their memory: what WebGPU does not tell. Struct offsets are those of `vulkan_core.h` for 64-bit
 * processes (Vulkan 1.1, VK_EXT_memory_budget).
 */
import koffi from 'koffi';

export interface VulkanGpu {
  name: string;
  vendorId: number;
  deviceId: number;
  /** Of the largest device-local heap. */
  memoryBytes: number;
  /** What of it this process can have beside the others that run, where the driver says so; else all of it. */
  budgetBytes: number;
}

const version11 = (1 << 22) | (1 << 12);
const structTypes = { application: 0, instance: 1, memory2: 1000059006, budget: 1000237000 };
const deviceLocal = 1;
const mostDevices = 16;
const extensionBytes = 260;

let opened: ReturnType<typeof openVulkan> | undefined;

/** Null without a Vulkan loader; empty where the loader has no driver. */
export function listVulkanGpus(): VulkanGpu[] | null {
  opened ??= openVulkan();
  const vulkan = opened;
  if (!vulkan) return null;
  // VkInstanceCreateInfo, and behind it the VkApplicationInfo that it points to.
  const create = Buffer.alloc(64 + 48);
  create.writeUInt32LE(structTypes.instance, 0);
  create.writeBigUInt64LE(koffi.address(create) + 64n, 24);
  create.writeUInt32LE(structTypes.application, 64);
  create.writeUInt32LE(version11, 64 + 44);
  const instance = new BigUint64Array(1);
  if (vulkan.createInstance(create, null, instance) !== 0) return [];
  try {
    const count = new Uint32Array([mostDevices]);
    const devices = new BigUint64Array(mostDevices);
    if (vulkan.listDevices(instance[0], count, devices) < 0) return [];
    return [...devices.subarray(0, count[0])].map((device) => describe(vulkan, device));
  } finally {
    vulkan.destroyInstance(instance[0], null);
  }
}

type Vulkan = NonNullable<ReturnType<typeof openVulkan>>;

function openVulkan() {
  const names: Partial<Record<NodeJS.Platform, string>> = { linux: 'libvulkan.so.1', win32: 'vulkan-1.dll' };
  const name = names[process.platform];
  if (!name) return null;
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load(name);
  } catch {
    return null;
  }
  return {
    // Koffi unloads a library, code and all, once its handle is collected.
    library,
    createInstance: library.func('int vkCreateInstance(void *create, void *allocator, _Out_ uint64_t *instance)'),
    destroyInstance: library.func('void vkDestroyInstance(uint64_t instance, void *allocator)'),
    listDevices: library.func('int vkEnumeratePhysicalDevices(uint64_t instance, _Inout_ uint32_t *count, _Out_ uint64_t *devices)'),
    properties: library.func('void vkGetPhysicalDeviceProperties(uint64_t device, void *properties)'),
    memory: library.func('void vkGetPhysicalDeviceMemoryProperties2(uint64_t device, void *properties)'),
    listExtensions: library.func(
      'int vkEnumerateDeviceExtensionProperties(uint64_t device, const char *layer, _Inout_ uint32_t *count, void *extensions)',
    ),
  };
}

function describe(vulkan: Vulkan, device: bigint): VulkanGpu {
  const properties = Buffer.alloc(1024);
  vulkan.properties(device, properties);
  // VkPhysicalDeviceMemoryProperties2, and behind it the VkPhysicalDeviceMemoryBudgetPropertiesEXT that it points to.
  const memory = Buffer.alloc(536 + 272);
  memory.writeUInt32LE(structTypes.memory2, 0);
  memory.writeUInt32LE(structTypes.budget, 536);
  const knowsBudget = hasExtension(vulkan, device, 'VK_EXT_memory_budget');
  if (knowsBudget) memory.writeBigUInt64LE(koffi.address(memory) + 536n, 8);
  vulkan.memory(device, memory);
  let [memoryBytes, budgetBytes] = [0, 0];
  for (let heap = 0; heap < memory.readUInt32LE(276); heap++) {
    const size = Number(memory.readBigUInt64LE(280 + 16 * heap));
    const isLocal = (memory.readUInt32LE(288 + 16 * heap) & deviceLocal) !== 0;
    if (!isLocal || size <= memoryBytes) continue;
    memoryBytes = size;
    budgetBytes = Math.min(size, (knowsBudget && Number(memory.readBigUInt64LE(552 + 8 * heap))) || size);
  }
  const [vendorId, deviceId] = [properties.readUInt32LE(8), properties.readUInt32LE(12)];
  return { name: text(properties.subarray(20, 276)), vendorId, deviceId, memoryBytes, budgetBytes };
}

function hasExtension(vulkan: Vulkan, device: bigint, name: string): boolean {
  const count = new Uint32Array(1);
  vulkan.listExtensions(device, null, count, null);
  const extensions = Buffer.alloc(extensionBytes * count[0]!);
  vulkan.listExtensions(device, null, count, extensions);
  return Array.from({ length: count[0]! }, (_, index) => text(extensions.subarray(index * extensionBytes))).includes(name);
}

function text(bytes: Buffer): string {
  return bytes.toString('utf8', 0, bytes.indexOf(0));
}
