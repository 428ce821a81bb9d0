/**
 * Environment variables with which Dawn finds Vulkan on a bare machine: the loader that was carried along where the system has none, and the
 * driver's manifest, which is written where the driver's library came without one (as in many containers).
 */
import { existsSync, readdirSync, symlinkSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

export interface VulkanPlaces {
  /** Whether the dynamic linker finds a library of this name. */
  loads(library: string): boolean;
  /** Folder of the carried loader; null where nothing is carried. */
  carried: string | null;
  /** Folders in which loaders look for manifests of drivers, and some that they do not know. */
  manifestFolders?: readonly string[];
  libraryFolders?: readonly string[];
  /** Where links and a manifest may be written. */
  workDir: string;
}

/** Found by loaders without being told. */
const knownFolders = ['/etc/vulkan/icd.d', '/usr/share/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/usr/local/etc/vulkan/icd.d'];
const otherFolders = ['/usr/local/nvidia/share/vulkan/icd.d', '/opt/nvidia/share/vulkan/icd.d', '/usr/lib/nvidia/vulkan/icd.d'];
const driverFolders = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
  '/usr/local/nvidia/lib64',
  '/usr/local/nvidia/lib',
  '/opt/nvidia/lib64',
];
const loader = 'libvulkan.so.1';
/** The one for screens needs X libraries, which machines without a screen may lack; the other does not. */
const driverLibraries = ['libGLX_nvidia.so.0', 'libEGL_nvidia.so.0'];

/** The variables, and one line per thing that was done about it. `before` is the environment as it is. */
export async function vulkanEnvironment(
  places: VulkanPlaces,
  before: NodeJS.ProcessEnv,
): Promise<{ variables: Record<string, string>; notes: string[] }> {
  const { manifestFolders = [...knownFolders, ...otherFolders], libraryFolders = driverFolders, workDir } = places;
  const notes: string[] = [];
  const searched: string[] = [];
  if (!places.loads(loader)) {
    if (places.carried === null) notes.push(`No Vulkan loader ${loader} was found; install libvulkan1.`);
    else {
      symlinkSync(path.join(places.carried, loader), path.join(workDir, loader));
      searched.push(workDir);
      notes.push('The system has no Vulkan loader; the one carried along is used.');
    }
  }
  const variables: Record<string, string> = {};
  if (!before.VK_DRIVER_FILES && !before.VK_ICD_FILENAMES) {
    const manifest = nvidiaManifest(manifestFolders);
    const library = driverLibraries.find((name) => places.loads(name)) ?? libraryIn(libraryFolders);
    if (manifest && !knownFolders.includes(path.dirname(manifest))) {
      variables.VK_DRIVER_FILES = manifest;
      notes.push(`The driver's manifest is ${manifest}.`);
    } else if (!manifest && library) {
      variables.VK_DRIVER_FILES = path.join(workDir, 'nvidia_icd.json');
      const content = { file_format_version: '1.0.1', ICD: { library_path: library, api_version: '1.3.0' } };
      await writeFile(variables.VK_DRIVER_FILES, JSON.stringify(content));
      notes.push(`The driver has no manifest; one for ${library} was written.`);
    }
    if (library?.startsWith('/')) searched.push(path.dirname(library));
  }
  if (searched.length > 0) variables.LD_LIBRARY_PATH = [...searched, ...(before.LD_LIBRARY_PATH ? [before.LD_LIBRARY_PATH] : [])].join(':');
  return { variables, notes };
}

function nvidiaManifest(folders: readonly string[]): string | null {
  for (const folder of folders) {
    const name = existsSync(folder) && readdirSync(folder).find((file) => file.includes('nvidia') && file.endsWith('.json'));
    if (name) return path.join(folder, name);
  }
  return null;
}

function libraryIn(folders: readonly string[]): string | undefined {
  return folders.flatMap((folder) => driverLibraries.map((name) => path.join(folder, name))).find((file) => existsSync(file));
}
