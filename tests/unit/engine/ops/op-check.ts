/**
 * Holds an op against its definition written out in double precision: values directly, gradients against central finite differences of that
 * definition. Kernel and composed form are checked alike, on every backend this machine has.
 */
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'vitest';
import type { BackendName } from '#contract/worker.ts';
import { listBackends, selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';

/** wasm, webgpu where an adapter is found, and tensorflow where its runtime pack is installed; why not is printed once per file. */
export const testBackends: BackendName[] = await (async () => {
  const others = (await listBackends()).filter(({ name }) => name !== 'wasm').reverse();
  for (const { name, available, reason } of others) if (!available) console.info(`Tests on ${name} are left out: ${reason}`);
  return ['wasm', ...others.filter(({ available }) => available).map(({ name }) => name)] satisfies BackendName[];
})();

/** Those that compute on the processor at its own speed: where a whole training is checked. */
export const nativeBackends = testBackends.filter((name) => name !== 'webgpu');

/** All cases, but the first alone on webgpu: a software adapter spends seconds compiling shaders for every new shape. */
export function casesFor<T>(backend: BackendName, cases: readonly T[]): readonly T[] {
  return backend === 'webgpu' ? cases.slice(0, 1) : cases;
}

/** Composed forms, but none on webgpu, where every new shape of every plain op is a shader: its kernels are what is checked there. */
export function composedForms(backend: BackendName, forms: OpCheck['forms']): OpCheck['forms'] {
  return backend === 'webgpu' ? {} : forms;
}

export interface OpCheck {
  /** Shapes of the inputs that gradients are taken of. */
  shapes: number[][];
  /** The definition in double precision, on flat row-major inputs. */
  exact(...inputs: Float64Array[]): Float64Array;
  /** What is checked: the public op, and its composed form. */
  forms: Record<string, (...inputs: never[]) => tf.Tensor>;
  tolerance?: number;
  seed?: number;
}

/** Standard normal values, the same for the same seed. */
export function normals(count: number, seed: number): Float64Array {
  const stream = new RandomStream(seed, 'test');
  return Float64Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - stream.uniform()));
    return Math.fround(radius * Math.cos(2 * Math.PI * stream.uniform()));
  });
}

/** Checks every form's value and gradients on the backend, and that no tensor is left behind. */
export async function checkOp(backend: BackendName, { shapes, exact, forms, tolerance = 2e-5, seed = 1 }: OpCheck): Promise<void> {
  await selectBackend(backend);
  const inputs = shapes.map((shape, index) => normals(tf.util.sizeFromShape(shape), 100 * seed + index));
  const expected = exact(...inputs);
  const direction = normals(expected.length, 100 * seed + 99);
  const expectedGradients = finiteDifferences(exact, inputs, direction);
  for (const [name, form] of Object.entries(forms) as [string, (...inputs: tf.Tensor[]) => tf.Tensor][]) {
    const before = tf.memory().numTensors;
    const tensors = inputs.map((values, index) => tf.tensor(Float32Array.from(values), shapes[index]));
    const value = tf.tidy(() => form(...tensors));
    await expectClose(value, expected, tolerance, `${name} on ${backend}`);
    const along = tf.tensor(Float32Array.from(direction), value.shape);
    const gradients = tf.tidy(() => tf.grads((...xs: tf.Tensor[]) => tf.sum(tf.mul(form(...xs), along)))(tensors));
    for (const [index, gradient] of gradients.entries()) {
      await expectClose(gradient, expectedGradients[index]!, tolerance, `gradient ${index} of ${name} on ${backend}`);
    }
    tf.dispose([...tensors, value, along, ...gradients]);
    expect(tf.memory().numTensors, `tensors left by ${name} on ${backend}`).toBe(before);
  }
}

/** Every element within tolerance · (1 + largest expected magnitude). */
export async function expectClose(actual: tf.Tensor, expected: ArrayLike<number>, tolerance: number, what: string): Promise<void> {
  const values = await actual.data();
  expect(values.length, `size of ${what}`).toBe(expected.length);
  let largest = 0;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(expected[i]!));
  const allowed = tolerance * (1 + largest);
  for (let i = 0; i < expected.length; i++) {
    if (!(Math.abs(values[i]! - expected[i]!) <= allowed)) {
      expect.fail(`${what}: element ${i} is ${values[i]}, expected ${expected[i]} within ${allowed}`);
    }
  }
}

function finiteDifferences(exact: OpCheck['exact'], inputs: Float64Array[], direction: Float64Array): Float64Array[] {
  const step = 1e-5;
  const along = () => exact(...inputs).reduce((sum, value, index) => sum + value * direction[index]!, 0);
  return inputs.map((values) =>
    values.map((value, index) => {
      values[index] = value + step;
      const above = along();
      values[index] = value - step;
      const below = along();
      values[index] = value;
      return (above - below) / (2 * step);
    }),
  );
}
