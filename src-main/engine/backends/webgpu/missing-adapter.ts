/** Why WebGPU has no adapter on this machine, as far as it can be told: no loader, no driver, or a GPU that is there but not taken. */
import { readdirSync, readFileSync } from 'node:fs';
import { RoundoffError } from '#contract/errors.ts';
import { listVulkanGpus } from './vulkan.ts';

const pciFolder = '/sys/bus/pci/devices';
const displayClass = '0x03';
const vendors: Record<string, string> = { '0x10de': 'NVIDIA', '0x1002': 'AMD', '0x8086': 'Intel' };

export function missingAdapter(): RoundoffError {
  const or = 'or choose the wasm backend.';
  const error = (reason: string, remedy: string) => new RoundoffError('backend-unavailable', reason, `${remedy}, ${or}`);
  if (process.platform === 'darwin') return error('no GPU adapter was found', 'Update macOS');
  const vulkanGpus = listVulkanGpus();
  if (process.platform === 'win32' && !vulkanGpus?.length) return error('no GPU adapter was found', 'Install the driver of your GPU');
  if (!vulkanGpus) return error('the Vulkan loader libvulkan.so.1 is not installed', 'Install it (on Debian libvulkan1)');
  if (vulkanGpus.length > 0) {
    const names = vulkanGpus.map(({ name }) => name).join(', ');
    return error(`Vulkan offers ${names}, but WebGPU takes no adapter there: its driver is blocked or too old`, 'Update the driver');
  }
  const chosen = process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES;
  if (chosen) {
    return error(`no Vulkan driver among those of VK_DRIVER_FILES (${chosen}) offers a GPU`, 'Unset VK_DRIVER_FILES and VK_ICD_FILENAMES');
  }
  const gpus = pciGpus();
  const forGpu = gpus.length > 0 ? ` for the ${gpus.join(', ')} of this machine` : '';
  return error(`no Vulkan driver is installed${forGpu}`, 'Install the driver of your GPU');
}

/** Display controllers on the PCI bus (Linux), as "NVIDIA GPU 10de:2330". */
function pciGpus(): string[] {
  try {
    return readdirSync(pciFolder).flatMap((slot) => {
      const read = (file: string) => readFileSync(`${pciFolder}/${slot}/${file}`, 'utf8').trim();
      if (!read('class').startsWith(displayClass)) return [];
      const [vendor, device] = [read('vendor'), read('device')];
      return [`${vendors[vendor] ?? 'other'} GPU ${vendor.slice(2)}:${device.slice(2)}`];
    });
  } catch {
    return [];
  }
}
