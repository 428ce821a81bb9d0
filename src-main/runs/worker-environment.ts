/**
 * The environment a worker gets: what native libraries and the system need, nothing else of the user's; and what TensorFlow's runtime pack on
 * CUDA has to find there before Node starts.
 */
import path from 'node:path';
import { cudaEnvironment } from '../engine/backends/tensorflow/cuda-environment.ts';
import { readTensorflowPack, runtimesDir, type TensorflowPack, tensorflowPackDir } from '../engine/backends/tensorflow/pack.ts';

const exact = new Set([
  'PATH',
  'HOME',
  'USERPROFILE',
  'TMPDIR',
  'TEMP',
  'TMP',
  'LANG',
  'LC_ALL',
  'TZ',
  'SYSTEMROOT',
  'WINDIR',
  'LOCALAPPDATA',
  'APPDATA',
  'XDG_CACHE_HOME',
  'XDG_CONFIG_HOME',
  'XDG_RUNTIME_DIR',
  'DISPLAY',
  'WAYLAND_DISPLAY',
  'LD_LIBRARY_PATH',
  'DYLD_LIBRARY_PATH',
]);
/** Of Vulkan loaders, CUDA, threading libraries and TensorFlow, and Roundoff's own. */
const prefixes = ['ROUNDOFF_', 'VK_', 'CUDA_', 'NVIDIA_', 'OMP_', 'TF_', 'DAWN_', 'MESA_', 'LP_'];

export function workerEnvironment(parent: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.fromEntries(
    Object.entries(parent).filter(([name]) => {
      const upper = name.toUpperCase();
      return exact.has(upper) || prefixes.some((prefix) => upper.startsWith(prefix));
    }),
  );
  return { ...kept, ROUNDOFF_RUNTIMES: runtimesDir(parent), ...forCuda(kept, installedPack(parent)) };
}

function forCuda(env: NodeJS.ProcessEnv, pack: TensorflowPack | null): NodeJS.ProcessEnv {
  if (pack?.variant !== 'cuda') return {};
  const folders = [...pack.cudaDirs, ...(env.LD_LIBRARY_PATH ?? '').split(path.delimiter)].filter((folder) => folder !== '');
  return { ...cudaEnvironment(env), LD_LIBRARY_PATH: folders.join(path.delimiter) };
}

/** The backends' own check says what is wrong with a pack. */
function installedPack(env: NodeJS.ProcessEnv): TensorflowPack | null {
  try {
    return readTensorflowPack(tensorflowPackDir(env));
  } catch {
    return null;
  }
}
