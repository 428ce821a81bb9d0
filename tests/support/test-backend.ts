/**
 * The backend that the suites of studies, training and evaluation compute on: `wasm`, or the one named in ROUNDOFF_TEST_BACKEND. Tests of one
 * backend's own parts choose theirs by name.
 */
import type * as tf from '@tensorflow/tfjs-core';
import type { BackendName } from '#contract/worker.ts';

const names: readonly BackendName[] = ['wasm', 'webgpu', 'tensorflow'];
const chosen = process.env.ROUNDOFF_TEST_BACKEND ?? 'wasm';
if (!names.some((name) => name === chosen)) throw new Error(`ROUNDOFF_TEST_BACKEND is ${chosen}; it can be ${names.join(', ')}`);

export const testBackend = chosen as BackendName;

/** A copy of a tensor's values, on any backend. */
export async function valuesOf(tensor: tf.Tensor): Promise<Float32Array> {
  return (await tensor.data<'float32'>()).slice();
}
