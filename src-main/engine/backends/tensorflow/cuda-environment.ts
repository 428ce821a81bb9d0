/**
 * What TensorFlow on CUDA needs in the environment. The binding computes on the last GPU it sees and gives TensorFlow no options, so that one
 * GPU is made visible, and memory is taken as it is needed instead of all at once.
 */
export function cudaEnvironment(env: NodeJS.ProcessEnv): Record<string, string> {
  const [device = '0'] = (env.CUDA_VISIBLE_DEVICES ?? '').split(',').filter((part) => part.trim() !== '');
  return {
    CUDA_DEVICE_ORDER: env.CUDA_DEVICE_ORDER ?? 'PCI_BUS_ID',
    CUDA_VISIBLE_DEVICES: env.CUDA_VISIBLE_DEVICES === '' ? '' : device.trim(),
    TF_FORCE_GPU_ALLOW_GROWTH: env.TF_FORCE_GPU_ALLOW_GROWTH ?? 'true',
  };
}
