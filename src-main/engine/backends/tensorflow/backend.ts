/**
 * The `tensorflow` backend: the kernels of tfjs-node-gpu over a binding built against a current libtensorflow, which lies in the runtime pack.
 * Only the binding comes from the pack; the package itself is the app's, so that there is one tfjs-core.
 */
import { createRequire } from 'node:module';
import path from 'node:path';
import util from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { registerGradients } from '../gradients.ts';
import { chosenProductPrecision, describeDevice } from '../product-precision.ts';
import { cudaEnvironment } from './cuda-environment.ts';
import { registerGather } from './kernels.ts';
import { registerMatMul, setHalfProducts } from './matmul.ts';
import { bindingFile, readTensorflowPack, tensorflowPackDir } from './pack.ts';

const packageName = '@tensorflow/tfjs-node-gpu';

export interface TensorflowStart {
  /** On the CPU the other backends are the better choice unless someone asks for this one. */
  allowCpu: boolean;
}

/** What doctor shows of an installed pack; loads nothing. @throws RoundoffError `backend-unavailable` */
export function describeTensorflow(): { device: string; reason: string | null } {
  const { version, variant } = readTensorflowPack(tensorflowPackDir());
  if (variant === 'cuda') return { device: `TensorFlow ${version} with CUDA`, reason: null };
  return { device: `TensorFlow ${version} on CPU`, reason: 'On the CPU: used only when tensorflow is chosen by name.' };
}

/** Makes `tensorflow` the active backend; returns the device. @throws RoundoffError `backend-unavailable` */
export async function startTensorflow({ allowCpu }: TensorflowStart): Promise<string> {
  const precision = chosenProductPrecision();
  const dir = tensorflowPackDir();
  const pack = readTensorflowPack(dir);
  if (!allowCpu && pack.variant === 'cpu') throw onCpuOnly('its runtime pack is the one for the CPU');
  try {
    if (!tf.findBackend('tensorflow')) load(path.join(dir, 'lib', bindingFile), pack.variant === 'cuda');
    if (!(await tf.setBackend('tensorflow'))) throw new Error('it did not start');
  } catch (cause) {
    const message = `the runtime pack in ${dir} cannot be loaded: ${(cause as Error).message}`;
    throw new RoundoffError('backend-unavailable', message, 'Install it again with `roundoff runtime install tensorflow`.', { cause });
  }
  const { isUsingGpuDevice } = tf.backend() as unknown as { isUsingGpuDevice: boolean };
  if (!allowCpu && !isUsingGpuDevice) throw onCpuOnly('it found no GPU');
  setHalfProducts(precision === 'half');
  return describeDevice(`TensorFlow ${pack.version} on ${isUsingGpuDevice ? 'CUDA' : 'CPU'}`, precision);
}

function onCpuOnly(why: string): RoundoffError {
  return new RoundoffError('backend-unavailable', why, 'On the CPU it is used only when tensorflow is chosen by name.');
}

function load(binding: string, cuda: boolean): void {
  // Libraries read these when they are loaded; only warnings and errors are logged.
  Object.assign(process.env, { TF_CPP_MIN_LOG_LEVEL: process.env.TF_CPP_MIN_LOG_LEVEL ?? '2' });
  if (cuda) Object.assign(process.env, cudaEnvironment(process.env));
  // Node dropped the one and warns of the other; the package calls them in every op.
  Object.assign(util, { isNullOrUndefined: (value: unknown) => value === null || value === undefined, isArray: Array.isArray });
  const require = createRequire(import.meta.url);
  const native: unknown = require(binding);
  const { NodeJSKernelBackend } = require(`${packageName}/dist/nodejs_kernel_backend.js`) as {
    NodeJSKernelBackend: new (native: unknown, packageName: string) => tf.KernelBackend;
  };
  require(`${packageName}/dist/register_all_kernels.js`);
  registerGather();
  registerMatMul();
  // The package brings the gradients of the whole `tfjs` along; ours hold on every backend.
  registerGradients();
  tf.registerBackend('tensorflow', () => new NodeJSKernelBackend(native, packageName));
}
