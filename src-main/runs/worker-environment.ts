/** The environment a worker gets: what native libraries and the system need, nothing else of the user's. */
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
  return Object.fromEntries(
    Object.entries(parent).filter(([name]) => {
      const upper = name.toUpperCase();
      return exact.has(upper) || prefixes.some((prefix) => upper.startsWith(prefix));
    }),
  );
}
