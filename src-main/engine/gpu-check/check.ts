/**
 * One check of a GPU kernel against an independent reference, callable outside the test runner: `npm test` runs every check on a software
 * adapter, `scripts/gpu-check.sh` the same ones on the machine's own.
 */
import { RandomStream } from '../data/random-stream.ts';

export interface GpuCheckResult {
  /** Largest deviation from the reference, in the unit of `tolerance`; see `deviation`. */
  maxError: number;
  tolerance: number;
}

export interface GpuCheck {
  /** Kernel, variant and shape, unique in the registry: `gemm f16, 64×96×32, B transposed`. */
  name: string;
  /**
   * Called with the webgpu backend active; makes and releases its own buffers and tensors. Null where the device lacks a feature the
   * variant needs.
   */
  run(): Promise<GpuCheckResult | null>;
}

/** Largest |actual − expected| over 1 + the largest |expected|; infinite for NaN and for differing lengths. */
export function deviation(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  let error = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (Number.isNaN(difference)) return Number.POSITIVE_INFINITY;
    largest = Math.max(largest, Math.abs(expected[i]!));
    error = Math.max(error, difference);
  }
  return error / (1 + largest);
}

/** Standard normal values, the same for the same seed. */
export function normals(count: number, seed: number): Float32Array {
  return new RandomStream(seed, 'gpu-check').normals(count);
}
