/** What a GEMM shader is compiled for besides its tiling, and the WGSL that all of them share. */
import { type ComputedMatrix, computedFetch, type ElementType, fetchFunction } from './operands.ts';

/** Eight consecutive values of a row of B, as readers of packed weights return them. */
export const packedEightType = 'struct PackedEight { low : vec4<f32>, high : vec4<f32> }';

export interface Variant {
  transA: boolean;
  transB: boolean;
  typeA: ElementType;
  typeB: ElementType;
  /** Whether A, B and C are read and written four values at a time. */
  vectorA: boolean;
  vectorB: boolean;
  vectorC: boolean;
  bias: boolean;
  accumulate: boolean;
  /** In place of a stored B. */
  computed: ComputedMatrix | null;
}

/** Everything that makes one variant's shader another than the next. */
export function variantName({ transA, transB, typeA, typeB, vectorA, vectorB, vectorC, bias, accumulate, computed }: Variant): string {
  const vectors = [vectorA, vectorB, vectorC].map((vector) => (vector ? '4' : '1')).join('');
  const flags = `${bias ? 'b' : ''}${accumulate ? 'a' : ''}`;
  return `${typeA}${transA ? 't' : 'n'}-${computed?.name ?? typeB}${transB ? 't' : 'n'}-${vectors}${flags}`;
}

/** `aFetch` and `bFetch`. */
export function fetchFunctions({ typeA, typeB, vectorA, vectorB, computed }: Variant): string {
  const b = computed ? `${packedEightType}\n${computed.code}\n${computedFetch()}` : fetchFunction('b', typeB, vectorB);
  return `${fetchFunction('a', typeA, vectorA)}\n${b}`;
}

/** What an entry point with `lane` begins with. */
export function startUp({ computed }: Variant): string {
  return computed ? 'wStart(lane); workgroupBarrier();' : '';
}

/** Where the operands of this workgroup's batch item start, and its slice of k; `group.z` counts slices within items. */
export const itemBases = `
  let item = group.z / parameters.slices;
  let slice = group.z % parameters.slices;
  let inner = item % parameters.inner;
  let outer = item / parameters.inner;
  let aBase = parameters.firstA + inner * parameters.strideA + outer * parameters.outerA;
  let bBase = parameters.firstB + inner * parameters.strideB + outer * parameters.outerB;
  let cBase = parameters.firstC + inner * parameters.strideC + outer * parameters.outerC + slice * parameters.strideSlice;
  let kBegin = slice * parameters.sliceK;
  let kEnd = min(parameters.k, kBegin + parameters.sliceK);`;

/**
 * WGSL functions `cStore(base, row, column, values)` and `cStoreOne(base, row, column, value)`: write up to four values of a row of C, or one,
 * where C has them.
 */
export function storeFunction({ vectorC, bias, accumulate }: Pick<Variant, 'vectorC' | 'bias' | 'accumulate'>): string {
  const result = (value: string, place: string, column: (i: number) => string, lanes: number) => {
    const added = range(lanes).map((i) => `bias[parameters.firstBias + ${column(i)}]`);
    const shift = lanes === 1 ? added[0] : `vec4<f32>(${added.join(', ')})`;
    return `parameters.alpha * ${value}${bias ? ` + ${shift}` : ''}${accumulate ? ` + c[${place}]` : ''}`;
  };
  if (vectorC) {
    return `fn cStore(base : u32, row : u32, column : u32, values : vec4<f32>) {
  if (row >= parameters.m || column >= parameters.n) { return; }
  let at = (base + row * parameters.ldc + column) / 4u;
  c[at] = ${result('values', 'at', (i) => `column + ${i}u`, 4)};
}`;
  }
  return `fn cStoreOne(base : u32, row : u32, column : u32, value : f32) {
  if (row >= parameters.m || column >= parameters.n) { return; }
  let at = base + row * parameters.ldc + column;
  c[at] = ${result('value', 'at', () => 'column', 1)};
}
fn cStore(base : u32, row : u32, column : u32, values : vec4<f32>) {
  for (var i = 0u; i < 4u; i++) { cStoreOne(base, row, column + i, values[i]); }
}`;
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
