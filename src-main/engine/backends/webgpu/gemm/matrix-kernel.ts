/**
 * The GEMM shader for subgroup matrices (tensor cores): slices of A and B are staged in workgroup memory as they are stored, as f16 where the
 * adapter multiplies f16, and each subgroup accumulates a grid of f32 matrices. The next slices are fetched while the present ones are
 * multiplied.
 */
import type { SubgroupMatrixShape } from '../device.ts';
import { fetchFunctions, itemBases, range, startUp, storeFunction, type Variant, variantName } from './variant.ts';

export interface MatrixShape {
  /** Shape and type of the matrices that the adapter multiplies; the result is f32. */
  matrix: SubgroupMatrixShape;
  /** Of the workgroup's tile of C, and the depth of a slice. */
  tileM: number;
  tileN: number;
  tileK: number;
  /** Subgroups down and across the tile, and their lanes. */
  subgroupsM: number;
  subgroupsN: number;
  lanes: number;
}

/** Values between staged rows, against bank conflicts. */
const padding = 8;

export function matrixKernelName({ matrix, tileM, tileN, tileK, subgroupsM, subgroupsN, lanes }: MatrixShape, variant: Variant): string {
  const { componentType, M, N, K } = matrix;
  return `gemm-matrix-${componentType}-${M}x${N}x${K}-${tileM}x${tileN}x${tileK}-${subgroupsM}x${subgroupsN}x${lanes}-${variantName(variant)}`;
}

/** Bytes of workgroup memory. */
export function matrixMemory(
  { matrix, tileM, tileN, tileK, subgroupsM, subgroupsN }: MatrixShape,
  { transA, transB }: Pick<Variant, 'transA' | 'transB'>,
): number {
  const rows = (extent: number, alongK: boolean) => (alongK ? extent * (tileK + padding) : tileK * (extent + padding));
  const staged = rows(tileM, !transA) + rows(tileN, transB);
  return staged * (matrix.componentType === 'f16' ? 2 : 4) + 4 * subgroupsM * subgroupsN * matrix.M * matrix.N;
}

export function matrixKernel(shape: MatrixShape, variant: Variant): string {
  const { matrix, tileM, tileN, tileK, subgroupsM, subgroupsN, lanes } = shape;
  const { M, N, K, componentType } = matrix;
  const threads = subgroupsM * subgroupsN * lanes;
  const [downs, acrosses] = [range(tileM / subgroupsM / M), range(tileN / subgroupsN / N)];
  const a = stage({ name: 'a', extent: tileM, tileK, threads, alongK: !variant.transA, type: componentType });
  const b = stage({ name: 'b', extent: tileN, tileK, threads, alongK: variant.transB, type: componentType });
  const left = (i: number) => {
    const m = `${i * M}u + rowFirst`;
    const place = variant.transA ? `kk * ${a.stride}u + ${m}` : `(${m}) * ${a.stride}u + kk`;
    const order = variant.transA ? 'col_major' : 'row_major';
    return `let left${i} = subgroupMatrixLoad<subgroup_matrix_left<${componentType}, ${K}, ${M}>, ${order}>(&aTile, ${place}, ${a.stride}u);`;
  };
  const right = (j: number) => {
    const n = `${j * N}u + columnFirst`;
    const place = variant.transB ? `(${n}) * ${b.stride}u + kk` : `kk * ${b.stride}u + ${n}`;
    const order = variant.transB ? 'col_major' : 'row_major';
    return `let right${j} = subgroupMatrixLoad<subgroup_matrix_right<${componentType}, ${N}, ${K}>, ${order}>(&bTile, ${place}, ${b.stride}u);`;
  };
  const grid = (code: (i: number, j: number) => string) => downs.map((i) => acrosses.map((j) => code(i, j)).join('\n    ')).join('\n    ');
  return `
${fetchFunctions(variant)}
${storeFunction({ ...variant, vectorC: false })}
var<workgroup> aTile : array<${componentType}, ${a.size}>;
var<workgroup> bTile : array<${componentType}, ${b.size}>;
var<workgroup> patches : array<f32, ${subgroupsM * subgroupsN * M * N}>;

@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) group : vec3<u32>, @builtin(local_invocation_index) lane : u32,
  @builtin(subgroup_id) subgroup : u32, @builtin(subgroup_invocation_id) member : u32,
) {
  ${startUp(variant)}
  ${itemBases}
  let aFirst = group.y * ${tileM}u;
  let bFirst = group.x * ${tileN}u;
  let aEnd = parameters.m;
  let bEnd = parameters.n;
  let rowFirst = (subgroup / ${subgroupsN}u) * ${tileM / subgroupsM}u;
  let columnFirst = (subgroup % ${subgroupsN}u) * ${tileN / subgroupsN}u;
  ${grid((i, j) => `var sum${i}_${j} = subgroup_matrix_result<f32, ${N}, ${M}>();`)}
  ${a.declare}
  ${b.declare}
  for (var k0 = kBegin; k0 < kEnd + ${tileK}u; k0 += ${tileK}u) {
    if (k0 < kEnd) {
      ${a.fetch}
      ${b.fetch}
    }
    if (k0 > kBegin) {
      for (var kk = 0u; kk < ${tileK}u; kk += ${K}u) {
        ${downs.map(left).join('\n        ')}
        ${acrosses.map(right).join('\n        ')}
        ${grid((i, j) => `sum${i}_${j} = subgroupMatrixMultiplyAccumulate(left${i}, right${j}, sum${i}_${j});`)}
      }
    }
    workgroupBarrier();
    ${a.store}
    ${b.store}
    workgroupBarrier();
  }
  let row = aFirst + rowFirst;
  let column = bFirst + columnFirst;
  if (${plainStore(variant)}aFirst + ${tileM}u <= aEnd && bFirst + ${tileN}u <= bEnd && parameters.alpha == 1.0) {
    ${grid((i, j) => `subgroupMatrixStore<row_major>(&c, cBase + (row + ${i * M}u) * parameters.ldc + column + ${j * N}u, sum${i}_${j}, parameters.ldc);`)}
  } else {
    ${grid(
      (i, j) => `subgroupMatrixStore<row_major>(&patches, subgroup * ${M * N}u, sum${i}_${j}, ${N}u);
    workgroupBarrier();
    for (var at = member; at < ${M * N}u; at += ${lanes}u) {
      cStoreOne(cBase, row + ${i * M}u + at / ${N}u, column + ${j * N}u + at % ${N}u, patches[subgroup * ${M * N}u + at]);
    }
    workgroupBarrier();`,
    )}
  }
}`;
}

/** Whole tiles are stored as they are, unless something is added to them. */
function plainStore({ bias, accumulate }: Variant): string {
  return bias || accumulate ? 'false && ' : '';
}

interface Staging {
  name: 'a' | 'b';
  extent: number;
  tileK: number;
  threads: number;
  alongK: boolean;
  type: string;
}

/** Fetching a slice into registers and storing it, rows as they are in memory. */
function stage({ name, extent, tileK, threads, alongK, type }: Staging) {
  const [rows, columns] = alongK ? [extent, tileK] : [tileK, extent];
  const stride = columns + padding;
  const quads = columns / 4;
  const units = rows * quads;
  const [major, minor, majorEnd, minorEnd] = alongK
    ? [`${name}First`, 'k0', `${name}End`, 'kEnd']
    : ['k0', `${name}First`, 'kEnd', `${name}End`];
  const rounds = range(Math.ceil(units / threads));
  const each = (code: (register: string) => string) =>
    rounds
      .map((round) => {
        const unit = `lane + ${round * threads}u`;
        const body = `let unit = ${unit}; ${code(`${name}Next${round}`)}`;
        return (round + 1) * threads > units ? `if (${unit} < ${units}u) { ${body} }` : `{ ${body} }`;
      })
      .join('\n    ');
  return {
    stride,
    size: rows * stride,
    declare: rounds.map((round) => `var ${name}Next${round} = vec4<f32>();`).join(' '),
    fetch: each(
      (register) =>
        `${register} = ${name}Fetch(${name}Base, ${major} + unit / ${quads}u, ${minor} + 4u * (unit % ${quads}u), ${majorEnd}, ${minorEnd});`,
    ),
    store: each((register) => {
      const stores = range(4).map((i) => `${name}Tile[place + ${i}u] = ${type}(${register}[${i}]);`);
      return `let place = (unit / ${quads}u) * ${stride}u + 4u * (unit % ${quads}u); ${stores.join(' ')}`;
    }),
  };
}
