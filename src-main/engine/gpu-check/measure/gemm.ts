/** Speed of matrix products: every kernel that the adapter could get, at square sizes, by the GPU's own clock. */
import * as tf from '@tensorflow/tfjs-core';
import { flush } from '../../backends/webgpu/compute.ts';
import { gpu } from '../../backends/webgpu/device.ts';
import { type Gemm, gemm, gemmKernels } from '../../backends/webgpu/gemm/index.ts';
import { kernelName } from '../../backends/webgpu/gemm/tune.ts';
import { timeKernels } from '../../backends/webgpu/timing.ts';
import { RandomStream } from '../../data/random-stream.ts';
import { disposePacked, packWeight } from '../../ops/index.ts';
import { packedMatrix } from '../../ops/packed-linear/wgsl.ts';

export interface GemmMeasurement {
  /** Side and types of the product: `4096 f16`, B transposed as in a linear layer. */
  product: string;
  kernel: string;
  milliseconds: number;
  /** 10¹² floating-point operations a second. */
  teraflops: number;
}

/** `f32` exactly, `f16` operands, `f32 as f16` where rounding is allowed, `w4` packed weights by f32, exactly. */
export type GemmKind = 'f32' | 'f16' | 'f32 as f16' | 'w4';
const kinds: readonly GemmKind[] = ['f32', 'f16', 'f32 as f16', 'w4'];
const repetitions = 5;

/** The fastest kernel first within each product. @throws RoundoffError `unsupported` without timestamp queries */
export async function measureGemm(sides: readonly number[] = [1024, 2048, 4096]): Promise<GemmMeasurement[]> {
  const rows: GemmMeasurement[] = [];
  for (const side of sides) for (const kind of kinds) rows.push(...(await measureKind(side, kind)));
  return rows;
}

async function measureKind(side: number, kind: GemmKind): Promise<GemmMeasurement[]> {
  const half = kind === 'f16';
  const operand = () => (half ? tf.zeros([(side * side) / 2], 'int32') : tf.randomUniform([side, side], -1, 1));
  const [a, c] = [operand(), tf.zeros([side, side])];
  const weight = kind === 'w4' ? packWeight(packedSquare(side)) : null;
  const b = weight ? null : operand();
  const product: Gemm = {
    ...{ a, b: weight ? packedMatrix(weight) : b!, c, m: side, n: side, k: side, transB: true },
    types: half ? { a: 'f16', b: 'f16' } : {},
    precision: kind === 'f32 as f16' ? 'half' : 'exact',
  };
  const rows: GemmMeasurement[] = [];
  for (const kernel of gemmKernels(product)) {
    const milliseconds = await fastest(() => gemm({ ...product, kernel }));
    rows.push({ product: `${side} ${kind}`, kernel: kernelName(kernel), milliseconds, teraflops: (2 * side ** 3) / milliseconds / 1e9 });
  }
  tf.dispose([a, c]);
  b?.dispose();
  if (weight) disposePacked(weight);
  return rows.sort((one, other) => one.milliseconds - other.milliseconds);
}

async function fastest(work: () => void): Promise<number> {
  const { device, health } = gpu();
  work();
  flush();
  await health.wait(device.queue.onSubmittedWorkDone());
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < repetitions; i++) {
    const { kernels } = await timeKernels(async () => {
      flush();
      work();
      flush();
    });
    const milliseconds = kernels.reduce((sum, kernel) => sum + kernel.milliseconds, 0);
    best = Math.min(best, milliseconds);
  }
  return best;
}

function packedSquare(side: number) {
  const stream = new RandomStream(side, 'measure-gemm');
  const groupSize = 128;
  const groups = (side * side) / groupSize;
  return {
    ...{ bits: 4 as const, symmetric: true, outFeatures: side, inFeatures: side, groupSize, groupIndex: null },
    codes: Uint8Array.from({ length: side * side }, () => stream.integer(0, 15)),
    scales: new Float32Array(groups).fill(0.125),
    zeros: new Uint8Array(groups).fill(8),
  };
}
