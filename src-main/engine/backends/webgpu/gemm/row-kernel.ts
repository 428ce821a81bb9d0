/**
 * The GEMM shader for few rows of A and rows of B along k (the shape of decoding): a team of invocations multiplies a few rows of B with every
 * row of A, striding along k, then adds up its sums. B is read once, A from the cache, once per team.
 */
import { fetchFunctions, itemBases, packedEightType, range, startUp, storeFunction, type Variant, variantName } from './variant.ts';

export interface RowShape {
  /** Rows of A at most: 1, 2, 4 or 8. */
  rowsA: number;
  /** Rows of B per team. */
  rowsB: number;
  /** Invocations per team; they are one subgroup where `subgroups`. */
  team: number;
  subgroups: boolean;
}

export const rowThreads = 128;
const values = 8;

/** Rows of B per workgroup. */
export function rowTile({ rowsB, team }: RowShape): number {
  return rowsB * (rowThreads / team);
}

export function rowKernelName({ rowsA, rowsB, team, subgroups }: RowShape, variant: Variant): string {
  return `gemm-rows-${rowsA}-${rowsB}-${team}${subgroups ? 's' : ''}-${variantName(variant)}`;
}

export function rowKernel(shape: RowShape, variant: Variant): string {
  const { rowsA, rowsB, team, subgroups } = shape;
  const [rows, columns] = [range(rowsA), range(rowsB)];
  const bEight = variant.computed
    ? 'wEight(first + J, k0)'
    : 'PackedEight(bFetch(bBase, first + J, k0, parameters.n, kEnd), bFetch(bBase, first + J, k0 + 4u, parameters.n, kEnd))';
  return `
${variant.computed ? '' : packedEightType}
${fetchFunctions(variant)}
${storeFunction({ ...variant, vectorC: false })}
${subgroups ? '' : `var<workgroup> sums : array<f32, ${rowsA * rowsB * (rowThreads + 1)}>;`}

@compute @workgroup_size(${rowThreads})
fn main(
  @builtin(workgroup_id) group : vec3<u32>, @builtin(local_invocation_index) lane : u32,
  ${subgroups ? '@builtin(subgroup_invocation_id) member : u32, @builtin(subgroup_id) number : u32,' : ''}
) {
  ${startUp(variant)}
  ${itemBases}
  ${subgroups ? '' : `let member = lane % ${team}u; let number = lane / ${team}u;`}
  let first = group.x * ${rowTile(shape)}u + number * ${rowsB}u;
  ${rows.map((i) => columns.map((j) => `var sum${i}_${j} = 0.0;`).join(' ')).join(' ')}
  for (var k0 = kBegin + ${values}u * member; k0 < kEnd; k0 += ${values * team}u) {
    ${rows.map((i) => `let low${i} = aFetch(aBase, ${i}u, k0, parameters.m, kEnd); let high${i} = aFetch(aBase, ${i}u, k0 + 4u, parameters.m, kEnd);`).join('\n    ')}
    ${columns.map((j) => `let b${j} = ${bEight.replaceAll('J', `${j}u`)};`).join('\n    ')}
    ${rows.map((i) => columns.map((j) => `sum${i}_${j} += dot(low${i}, b${j}.low) + dot(high${i}, b${j}.high);`).join(' ')).join('\n    ')}
  }
  ${subgroups ? addSubgroup(rows, columns) : addTeam(rows, columns, team)}
}`;
}

function addSubgroup(rows: number[], columns: number[]): string {
  const totals = rows.map((i) => columns.map((j) => `let total${i}_${j} = subgroupAdd(sum${i}_${j});`).join(' ')).join('\n  ');
  const stores = rows.map((i) => columns.map((j) => `cStoreOne(cBase, ${i}u, first + ${j}u, total${i}_${j});`).join(' ')).join('\n    ');
  return `${totals}
  if (member == 0u) {
    ${stores}
  }`;
}

/** Every invocation leaves its sums; then each adds up one product, or several. */
function addTeam(rows: number[], columns: number[], team: number): string {
  const count = rows.length * columns.length;
  const place = (i: number, j: number) => (i * columns.length + j) * (rowThreads + 1);
  return `${rows.map((i) => columns.map((j) => `sums[${place(i, j)}u + lane] = sum${i}_${j};`).join(' ')).join('\n  ')}
  workgroupBarrier();
  for (var product = member; product < ${count}u; product += ${team}u) {
    var total = 0.0;
    for (var i = 0u; i < ${team}u; i++) { total += sums[product * ${rowThreads + 1}u + number * ${team}u + i]; }
    cStoreOne(cBase, product / ${columns.length}u, first + product % ${columns.length}u, total);
  }`;
}
