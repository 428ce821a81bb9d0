/** Which shader computes a product, by its shape and the adapter's features; what is measured to be faster replaces it (`tune.ts`). */
import { gpu } from '../device.ts';
import { type MatrixShape, matrixMemory } from './matrix-kernel.ts';
import type { Product } from './product.ts';
import type { RowShape } from './row-kernel.ts';
import { type TileShape, tileMemory, tileThreads } from './tile-kernel.ts';
import { winner } from './tune.ts';

export type Kernel =
  | { kind: 'plain' }
  | { kind: 'rows'; shape: RowShape }
  /** k is split into `slices` that are computed side by side. */
  | { kind: 'tile'; shape: TileShape; slices: number }
  | { kind: 'matrix'; shape: MatrixShape; slices: number };

const narrow = { tileM: 32, tileN: 32, tileK: 32, blockM: 4, blockN: 4 };
const middle = { tileM: 64, tileN: 64, tileK: 16, blockM: 4, blockN: 4 };
const tall = { tileM: 128, tileN: 64, tileK: 16, blockM: 8, blockN: 4 };
const wide = { tileM: 128, tileN: 128, tileK: 16, blockM: 8, blockN: 8 };

/** Workgroups that keep a large GPU busy, and the least depth of a slice of k. */
const busy = 128;
const leastDepth = 256;
const mostSlices = 32;

/** `run` computes a product with a given kernel, for measurements. */
export function choose(product: Product, run: (product: Product, kernel: Kernel) => void): Kernel {
  if (gpu().software) return { kind: 'plain' };
  if (rowsFit(product)) return { kind: 'rows', shape: rowShape(product) };
  const all = candidates(product);
  return winner(product, all, run) ?? unmeasured(product, all);
}

/** Register tiles, small ones for small products: subgroup matrices have to prove themselves on the adapter first. */
function unmeasured({ m, n }: Product, all: readonly Kernel[]): Kernel {
  return all[m <= 64 || n <= 64 ? 0 : 1]!;
}

/** Kernels worth measuring, from small tiles to large, then subgroup matrices. */
export function candidates(product: Product): Kernel[] {
  const half = halfStaging(product);
  const { limits } = gpu().device;
  const tiles = [narrow, middle, tall, wide]
    .map((shape) => ({ ...shape, half }))
    .filter((shape) => tileMemory(shape) <= limits.maxComputeWorkgroupStorageSize)
    .filter((shape) => tileThreads(shape) <= limits.maxComputeInvocationsPerWorkgroup)
    .map((shape): Kernel => ({ kind: 'tile', shape, slices: slicesOf(product, shape) }));
  const matrices = matrixShapes(product).map((shape): Kernel => ({ kind: 'matrix', shape, slices: slicesOf(product, shape) }));
  return [...tiles, ...matrices];
}

function rowsFit({ m, transA, transB }: Product): boolean {
  return m <= 8 && !transA && transB;
}

function rowShape({ m, n }: Pick<Product, 'm' | 'n'>): RowShape {
  const { subgroups } = gpu();
  const fixed = subgroups !== null && subgroups.min === subgroups.max && subgroups.max <= 64;
  const rowsA = 2 ** Math.ceil(Math.log2(m));
  return { rowsA, rowsB: n >= 4096 ? 4 : n >= 1024 ? 2 : 1, team: fixed ? subgroups.max : 32, subgroups: fixed };
}

/** Whether operands may be f16 in workgroup memory: they are f16 already, or the caller allows it. */
function halfAllowed({ a, b, precision }: Product): boolean {
  return precision === 'half' || (a.type === 'f16' && !('code' in b) && b.type === 'f16');
}

function halfStaging(product: Product): boolean {
  return gpu().f16 && halfAllowed(product);
}

/** Tilings of 64 × 64 and 128 × 128 by the adapter's matrices of a type that keeps the product as exact as it has to be. */
function matrixShapes(product: Product): MatrixShape[] {
  const { subgroups, subgroupMatrices, device, f16 } = gpu();
  if (!subgroups || subgroups.min !== subgroups.max) return [];
  const half = halfAllowed(product) && f16;
  const usable = subgroupMatrices.filter(
    ({ componentType, resultComponentType }) =>
      resultComponentType === 'f32' && (componentType === 'f32' || (componentType === 'f16' && half)),
  );
  const matrix = usable.find(({ componentType }) => componentType === 'f16') ?? usable[0];
  if (!matrix) return [];
  const { maxComputeInvocationsPerWorkgroup: threads, maxComputeWorkgroupStorageSize: memory } = device.limits;
  return matrixTilings(matrix, subgroups.max)
    .filter(({ subgroupsM, subgroupsN, lanes }) => subgroupsM * subgroupsN * lanes <= threads)
    .filter((shape) => matrixMemory(shape, product) <= memory);
}

export function matrixTilings(matrix: MatrixShape['matrix'], lanes: number): MatrixShape[] {
  const all = [
    { tileM: 64, tileN: 64, tileK: 32, subgroupsM: 2, subgroupsN: 2 },
    { tileM: 128, tileN: 64, tileK: 32, subgroupsM: 2, subgroupsN: 2 },
    { tileM: 128, tileN: 128, tileK: 32, subgroupsM: 2, subgroupsN: 4 },
    { tileM: 128, tileN: 128, tileK: 32, subgroupsM: 2, subgroupsN: 2 },
  ];
  return all
    .map((tiling) => ({ matrix, lanes, ...tiling }))
    .filter(
      ({ tileM, tileN, tileK, subgroupsM, subgroupsN }) =>
        (tileM / subgroupsM) % matrix.M === 0 && (tileN / subgroupsN) % matrix.N === 0 && tileK % matrix.K === 0,
    );
}

/** Slices of k that bring few tiles to as many workgroups as keep the GPU busy. */
function slicesOf({ m, n, k, inner, outer }: Product, { tileM, tileN }: { tileM: number; tileN: number }): number {
  const tiles = Math.ceil(m / tileM) * Math.ceil(n / tileN) * inner.count * outer.count;
  if (tiles >= busy / 2 || k < 2 * leastDepth) return 1;
  return Math.min(mostSlices, Math.floor(k / leastDepth), Math.ceil(busy / tiles));
}
