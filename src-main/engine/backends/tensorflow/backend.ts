/**
 * The `tensorflow` backend: tfjs-node-gpu's binding built against a current libtensorflow, present only when its runtime pack has been
 * installed into the package's folder (binding under `lib/napi-v*`, TensorFlow's shared libraries under `deps/lib`).
 */
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import util from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';

const hint = 'It is optional: choose the wasm or webgpu backend, or build the binding against the libraries of the TensorFlow 2.21 wheel.';

/** The package's folder, where the runtime pack belongs. @throws RoundoffError `backend-unavailable` */
export function tensorflowFolder(): string {
  try {
    return dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-node-gpu/package.json'));
  } catch (cause) {
    throw new RoundoffError('backend-unavailable', 'the package @tensorflow/tfjs-node-gpu is not installed', hint, { cause });
  }
}

/** Checks that the runtime pack lies in `folder`. @throws RoundoffError `backend-unavailable` naming the missing file. */
export function requireRuntimePack(folder: string): void {
  const libraries = join(folder, 'deps', 'lib');
  const hasLibrary = existsSync(libraries) && readdirSync(libraries).some((file) => /^(lib)?tensorflow_framework\./.test(file));
  if (!hasLibrary)
    throw new RoundoffError(
      'backend-unavailable',
      `its runtime pack is not installed (@tensorflow/tfjs-node-gpu has no TensorFlow library in deps/lib)`,
      hint,
    );
  const bindings = join(folder, 'lib');
  const hasBinding = existsSync(bindings) && readdirSync(bindings).some((name) => existsSync(join(bindings, name, 'tfjs_binding.node')));
  if (!hasBinding)
    throw new RoundoffError('backend-unavailable', `its runtime pack is incomplete (no tfjs_binding.node in ${bindings})`, hint);
}

/** Makes `tensorflow` the active backend; returns the device. @throws RoundoffError `backend-unavailable` */
export async function startTensorflow(): Promise<string> {
  const folder = tensorflowFolder();
  requireRuntimePack(folder);
  // Node dropped this function; the package calls it in every op.
  const legacy = util as unknown as { isNullOrUndefined?: (value: unknown) => boolean };
  legacy.isNullOrUndefined ??= (value) => value === null || value === undefined;
  let binding: { isUsingGpuDevice?: boolean };
  try {
    createRequire(import.meta.url)(folder);
    if (!(await tf.setBackend('tensorflow'))) throw new Error('it did not start');
    binding = tf.backend() as unknown as { isUsingGpuDevice?: boolean };
  } catch (cause) {
    const message = `the runtime pack in ${folder} cannot be loaded: ${(cause as Error).message}`;
    throw new RoundoffError('backend-unavailable', message, 'Rebuild the runtime pack for this Node version.', { cause });
  }
  return binding.isUsingGpuDevice ? 'TensorFlow on CUDA' : 'TensorFlow on CPU';
}
