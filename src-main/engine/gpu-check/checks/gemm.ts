/** Matrix products against float64 sums: what the adapter gets by default, and every kernel it could get, subgroup matrices included. */
import * as tf from '@tensorflow/tfjs-core';
import { gpu } from '../../backends/webgpu/device.ts';
import type { Kernel } from '../../backends/webgpu/gemm/choose.ts';
import { type Gemm, gemm, gemmKernels } from '../../backends/webgpu/gemm/index.ts';
import type { ElementType } from '../../backends/webgpu/gemm/operands.ts';
import { decodeBfloats, decodeHalves, encodeBfloats, encodeHalves } from '../../formats/float16.ts';
import { deviation, type GpuCheck, type GpuCheckResult, normals } from '../check.ts';

interface Case extends Pick<Gemm, 'transA' | 'transB' | 'precision'> {
  size: readonly [m: number, n: number, k: number];
  type?: ElementType;
  /** Scaled, added to C and to a bias. */
  added?: boolean;
  kernel?(kernels: readonly Kernel[]): Kernel | undefined;
  tolerance?: number;
}

const ragged = [130, 71, 90] as const;
const even = [256, 192, 160] as const;

export const gemmChecks: readonly GpuCheck[] = [
  ...[false, true].flatMap((transA) =>
    [false, true].map((transB) => {
      const name = `gemm f32, ${transA ? 'Aᵀ' : 'A'} · ${transB ? 'Bᵀ' : 'B'}, scaled and added, ${ragged.join('×')}`;
      return check(name, { size: ragged, transA, transB, added: true });
    }),
  ),
  check('gemm f16, 256×192×160', { size: even, type: 'f16' }),
  check('gemm bf16, B transposed, 130×71×90', { size: ragged, type: 'bf16', transB: true }),
  check('gemm f32, split over k, 64×64×4096', { size: [64, 64, 4096], transA: true, kernel: compiled('tile', 1) }),
  ...[1, 3, 8].map((m) => check(`gemm f32, ${m} rows, B transposed, ${m}×1030×516`, { size: [m, 1030, 516], transB: true })),
  check('gemm f16, one row, B transposed, 1×4100×1024', { size: [1, 4100, 1024], transB: true, type: 'f16' }),
  ...[0, 1, 2, 3].flatMap((index) => [
    check(`gemm f32, register tile ${index}, 130×71×90`, { size: ragged, added: true, kernel: compiled('tile', index) }),
    check(`gemm f16, register tile ${index}, B transposed, 256×192×160`, {
      ...{ size: even, transB: true, type: 'f16', kernel: compiled('tile', index) },
    }),
    check(`gemm f16, subgroup matrices ${index}, 256×192×160`, { size: even, type: 'f16', kernel: compiled('matrix', index) }),
    check(`gemm f16, subgroup matrices ${index}, B transposed, added, 130×71×90`, {
      ...{ size: ragged, transB: true, added: true, type: 'f16', kernel: compiled('matrix', index) },
    }),
    check(`gemm f32 rounded to f16, subgroup matrices ${index}, A transposed, 256×192×160`, {
      ...{ size: even, transA: true, precision: 'half', kernel: compiled('matrix', index), tolerance: 2e-3 },
    }),
  ]),
];

function byKind(kernels: readonly Kernel[], kind: Kernel['kind']): Kernel[] {
  return kernels.filter((kernel) => kernel.kind === kind);
}

/** A software adapter takes half a minute to compile one of these; its tests hold smaller tiles of the same code to the same sums. */
function compiled(kind: Kernel['kind'], index: number): NonNullable<Case['kernel']> {
  return (kernels) => (gpu().software ? undefined : byKind(kernels, kind)[index]);
}

function check(name: string, options: Case): GpuCheck {
  return { name, run: () => run(options) };
}

async function run(options: Case): Promise<GpuCheckResult | null> {
  const { size, type = 'f32', added = false, transA = false, transB = false, precision = 'exact', tolerance = 5e-6 } = options;
  const [m, n, k] = size;
  const [a, b] = [operand(normals(m * k, 40), type), operand(normals(n * k, 41), type)];
  const [before, shift] = [normals(m * n, 42), normals(n, 43)];
  const [c, bias] = [tf.tensor(before, [m, n]), tf.tensor1d(shift)];
  const plus = added ? { alpha: 0.5, accumulate: true, bias } : {};
  const product: Gemm = { a: a.tensor, b: b.tensor, c, m, n, k, transA, transB, precision, types: { a: type, b: type }, ...plus };
  const kernel = options.kernel?.(gemmKernels(product));
  const tensors = [a.tensor, b.tensor, c, bias];
  if (options.kernel && !kernel) {
    tf.dispose(tensors);
    return null;
  }
  gemm({ ...product, ...(kernel ? { kernel } : {}) });
  const values = await c.data();
  tf.dispose(tensors);
  const expected = Float64Array.from(before, (value, at) => (added ? value + shift[at % n]! : 0));
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let q = 0; q < k; q++) sum += a.values[transA ? q * m + i : i * k + q]! * b.values[transB ? j * k + q : q * n + j]!;
      expected[i * n + j]! += added ? sum / 2 : sum;
    }
  }
  return { maxError: deviation(values, expected), tolerance };
}

/** Values stored as a type, and what they are after rounding to it. */
function operand(values: Float32Array, type: ElementType): { tensor: tf.Tensor; values: Float32Array } {
  if (type === 'f32') return { tensor: tf.tensor1d(values), values };
  const patterns = type === 'f16' ? encodeHalves(values) : encodeBfloats(values);
  const words = new Int32Array(Math.ceil(patterns.length / 2));
  new Uint16Array(words.buffer).set(patterns);
  return { tensor: tf.tensor1d(words, 'int32'), values: type === 'f16' ? decodeHalves(patterns) : decodeBfloats(patterns) };
}
