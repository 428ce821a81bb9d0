/** The decode kernels over a memory of their own, and ways to put values there. */
import { expect } from 'vitest';
import { decodeKernels } from '../../../../src-main/engine/rollouts/cpu/kernels.ts';
import { createSharedMemory } from '../../../../src-main/engine/rollouts/cpu/shared-memory.ts';

export const memory = createSharedMemory(8 << 20);
export const kernels = decodeKernels(memory);
let end = 64;

function reserve(length: number): number {
  const offset = end;
  end += Math.ceil(length / 16) * 64;
  return offset;
}

export function place(values: ArrayLike<number>): number {
  const offset = reserve(values.length);
  floats(offset, values.length).set(values);
  return offset;
}

export function ints(values: number[]): number {
  const offset = reserve(values.length);
  new Int32Array(memory.buffer, offset, values.length).set(values);
  return offset;
}

export const floats = (offset: number, length: number) => new Float32Array(memory.buffer, offset, length);

export function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 2e-6): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    expect(Math.abs(actual[i]! - expected[i]!) / Math.max(1, Math.abs(expected[i]!))).toBeLessThan(tolerance);
  }
}
