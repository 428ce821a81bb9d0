/** Matrix products on the GPU against float64 loops: the kernel that the adapter gets, and every other one where it can run. */
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../../src-main/engine/backends/select.ts';
import { flush } from '../../../../../src-main/engine/backends/webgpu/compute.ts';
import { gpu } from '../../../../../src-main/engine/backends/webgpu/device.ts';
import type { Kernel } from '../../../../../src-main/engine/backends/webgpu/gemm/choose.ts';
import { type Gemm, gemm } from '../../../../../src-main/engine/backends/webgpu/gemm/index.ts';
import type { ElementType } from '../../../../../src-main/engine/backends/webgpu/gemm/operands.ts';
import { decodeBfloats, decodeHalves, encodeBfloats, encodeHalves } from '../../../../../src-main/engine/formats/float16.ts';
import { expectClose, normals, testBackends } from '../../ops/op-check.ts';

interface Case extends Pick<Gemm, 'transA' | 'transB' | 'types' | 'alpha' | 'accumulate' | 'lda' | 'ldb' | 'ldc' | 'kernel'> {
  size: [m: number, n: number, k: number];
  bias?: boolean;
  batch?: number;
}

/** A tensor of the values as the type stores them, and the values after rounding to it. */
function stored(values: Float64Array, type: ElementType): { tensor: tf.Tensor; values: Float64Array } {
  if (type === 'f32') return { tensor: tf.tensor1d(Float32Array.from(values)), values };
  const [encode, decode] = type === 'f16' ? [encodeHalves, decodeHalves] : [encodeBfloats, decodeBfloats];
  const patterns = encode(Float32Array.from(values));
  const words = new Int32Array(Math.ceil(values.length / 2));
  new Uint16Array(words.buffer).set(patterns);
  return { tensor: tf.tensor1d(words, 'int32'), values: Float64Array.from(decode(patterns)) };
}

async function check({ size: [m, n, k], bias: biased = false, batch = 1, ...options }: Case): Promise<void> {
  const { transA = false, transB = false, alpha = 1, accumulate = false, types = {} } = options;
  const lda = options.lda ?? (transA ? m : k);
  const ldb = options.ldb ?? (transB ? k : n);
  const ldc = options.ldc ?? n;
  const [sizeA, sizeB, sizeC] = [lda * (transA ? k : m), ldb * (transB ? n : k), ldc * m];
  const a = stored(normals(batch * sizeA, 1), types.a ?? 'f32');
  const b = stored(normals(batch * sizeB, 2), types.b ?? 'f32');
  const bias = stored(normals(n, 3), 'f32');
  const before = normals(batch * sizeC, 4);
  const c = tf.tensor1d(Float32Array.from(before));
  const expected = before.slice();
  for (let item = 0; item < batch; item++) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let q = 0; q < k; q++) {
          const left = a.values[item * sizeA + (transA ? q * lda + i : i * lda + q)]!;
          sum += left * b.values[item * sizeB + (transB ? j * ldb + q : q * ldb + j)]!;
        }
        const at = item * sizeC + i * ldc + j;
        expected[at] = alpha * sum + (biased ? bias.values[j]! : 0) + (accumulate ? expected[at]! : 0);
      }
    }
  }
  const batches = batch > 1 ? { batch: { count: batch, strideA: sizeA, strideB: sizeB, strideC: sizeC } } : {};
  gemm({ a: a.tensor, b: b.tensor, c, m, n, k, ...options, ...batches, ...(biased ? { bias: bias.tensor } : {}) });
  await expectClose(c, expected, 2e-6, JSON.stringify({ size: [m, n, k], batch, ...options }));
  tf.dispose([a.tensor, b.tensor, bias.tensor, c]);
}

const transposes = [false, true].flatMap((transA) => [false, true].map((transB) => ({ transA, transB })));

describe.skipIf(!testBackends.includes('webgpu'))('gemm', () => {
  beforeAll(async () => {
    await selectBackend('webgpu');
  });

  it('multiplies any sizes in all transposes, scaled, biased, added to C, with rows apart', async () => {
    for (const trans of transposes) {
      await check({ ...trans, size: [1, 1, 1] });
      await check({ ...trans, size: [37, 41, 19], alpha: 0.5, bias: true, accumulate: true });
      await check({ ...trans, size: [64, 96, 32], lda: 70, ldb: 101, ldc: 99 });
      await check({ ...trans, size: [5, 7, 11], batch: 6 });
    }
  });

  it('reads f16 and bf16', async () => {
    for (const trans of transposes) await check({ ...trans, size: [13, 22, 18], types: { a: 'f16', b: 'bf16' } });
  });

  // Small, since a software adapter spends seconds compiling what a GPU compiles at once.
  const small = { tileM: 16, tileN: 16, tileK: 8, blockM: 4, blockN: 4, half: false };
  const tile = (slices = 1, shape = {}): Kernel => ({ kind: 'tile', slices, shape: { ...small, ...shape } });
  const rows = (rowsA: number, rowsB: number): Kernel => ({ kind: 'rows', shape: { rowsA, rowsB, team: 32, subgroups: false } });

  it('multiplies by register tiles, four values at a time or one', async () => {
    await check({ kernel: tile(), size: [36, 40, 52], transB: true, bias: true, batch: 2 });
    await check({ kernel: tile(), size: [33, 35, 17], transA: true, accumulate: true });
    await check({ kernel: tile(1, { tileM: 32, blockM: 8 }), size: [68, 36, 20], transA: true, transB: true });
  });

  it('multiplies f16 by register tiles that stay f16 in workgroup memory', async () => {
    const half = gpu().f16;
    await check({ kernel: tile(1, { half }), size: [36, 40, 52], types: { a: 'f16', b: 'f16' } });
  });

  it('splits a deep product over k and adds the slices up', async () => {
    await check({ kernel: tile(3), size: [20, 24, 132], transB: true, alpha: 2, bias: true, accumulate: true, batch: 2 });
  });

  it('multiplies few rows by teams', async () => {
    await check({ kernel: rows(1, 4), size: [1, 21, 320], transB: true, bias: true });
    await check({ kernel: rows(4, 1), size: [3, 9, 67], transB: true, types: { b: 'bf16' }, accumulate: true });
  });

  it('multiplies few rows by subgroups', async () => {
    const { subgroups } = gpu();
    if (!subgroups || subgroups.min !== subgroups.max) return;
    const shape = { rowsA: 2, rowsB: 2, team: subgroups.max, subgroups: true };
    await check({ kernel: { kind: 'rows', shape }, size: [2, 13, 200], transB: true });
  });

  describe('on an adapter of small limits', () => {
    let limits: GPUSupportedLimits;
    const shrink = (smaller: Partial<Record<keyof GPUSupportedLimits, number>>) => {
      const { minStorageBufferOffsetAlignment, maxStorageBufferBindingSize, maxComputeWorkgroupsPerDimension } = limits;
      const value = { minStorageBufferOffsetAlignment, maxStorageBufferBindingSize, maxComputeWorkgroupsPerDimension, ...smaller };
      Object.defineProperty(gpu().device, 'limits', { value, configurable: true });
    };
    beforeAll(() => {
      limits = gpu().device.limits;
    });
    afterEach(() => {
      Object.defineProperty(gpu().device, 'limits', { value: limits, configurable: true });
    });

    it('computes larger operands in parts', async () => {
      shrink({ maxStorageBufferBindingSize: 24_000 });
      for (const trans of transposes) await check({ ...trans, size: [130, 70, 90], alpha: 0.5, bias: true, accumulate: true });
      await check({ size: [20, 30, 40], batch: 7, transB: true });
      await check({ size: [200, 3, 130], types: { a: 'f16', b: 'bf16' } });
    });

    it('computes more items than one dispatch starts', async () => {
      shrink({ maxComputeWorkgroupsPerDimension: 4 });
      await check({ size: [70, 3, 5], batch: 9 });
    });
  });

  it('leaves nothing wrong on the device', () => {
    flush();
    expect(() => gpu().health.check()).not.toThrow();
  });
});
