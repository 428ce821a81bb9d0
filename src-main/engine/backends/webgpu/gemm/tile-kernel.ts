/**
 * The register-tile GEMM shader: a workgroup computes one tile of C from slices of A and B that it stages in workgroup memory, each invocation
 * a block of it in registers. Both slices are staged with k outermost, so the inner loop reads vectors whatever the transposes; slices whose
 * rows run along k are transposed in registers, four rows at a time. The next slices are fetched while the present ones are multiplied.
 */
import { type ElementType, fetchFunction } from './operands.ts';

export interface TileShape {
  /** Of the tile of C, and the depth of a slice. */
  tileM: number;
  tileN: number;
  tileK: number;
  /** Of an invocation's block, multiples of 4. */
  blockM: number;
  blockN: number;
}

export interface Variant {
  transA: boolean;
  transB: boolean;
  typeA: ElementType;
  typeB: ElementType;
  /** Whether A, B and C are read and written four values at a time. */
  vectorA: boolean;
  vectorB: boolean;
  vectorC: boolean;
  /** Slices are staged as f16. */
  half: boolean;
  bias: boolean;
  accumulate: boolean;
}

export function tileThreads({ tileM, tileN, blockM, blockN }: TileShape): number {
  return (tileM / blockM) * (tileN / blockN);
}

export function tileKernelName({ tileM, tileN, tileK, blockM, blockN }: TileShape, variant: Variant): string {
  return `gemm-${tileM}x${tileN}x${tileK}-${blockM}x${blockN}-${variantName(variant)}`;
}

/** Everything that makes one variant's shader another than the next. */
export function variantName({ transA, transB, typeA, typeB, vectorA, vectorB, vectorC, half, bias, accumulate }: Variant): string {
  const vectors = [vectorA, vectorB, vectorC].map((vector) => (vector ? '4' : '1')).join('');
  const flags = `${half ? 'h' : ''}${bias ? 'b' : ''}${accumulate ? 'a' : ''}`;
  return `${typeA}${transA ? 't' : 'n'}-${typeB}${transB ? 't' : 'n'}-${vectors}${flags}`;
}

export function tileKernel(shape: TileShape, variant: Variant): string {
  const { tileM, tileN, tileK, blockM, blockN } = shape;
  const threads = tileThreads(shape);
  const half = variant.half ? 'f16' : 'f32';
  const a = stage({ name: 'a', extent: tileM, tileK, threads, alongK: !variant.transA });
  const b = stage({ name: 'b', extent: tileN, tileK, threads, alongK: variant.transB });
  const [rows, columns] = [range(blockM), range(blockN / 4)];
  const threadsM = tileM / blockM;
  const threadsN = tileN / blockN;
  return `
${fetchFunction('a', variant.typeA, variant.vectorA)}
${fetchFunction('b', variant.typeB, variant.vectorB)}
${storeFunction(variant)}
var<workgroup> aTile : array<vec4<${half}>, ${tileK * a.stride}>;
var<workgroup> bTile : array<vec4<${half}>, ${tileK * b.stride}>;

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group : vec3<u32>, @builtin(local_invocation_index) lane : u32) {
  ${itemBases}
  let aFirst = group.y * ${tileM}u;
  let bFirst = group.x * ${tileN}u;
  let aEnd = parameters.m;
  let bEnd = parameters.n;
  let laneM = lane / ${threadsN}u;
  let laneN = lane % ${threadsN}u;
  ${rows.map((i) => columns.map((j) => `var sum${i}_${j} = vec4<f32>();`).join(' ')).join('\n  ')}
  ${a.declare}
  ${b.declare}
  for (var k0 = kBegin; k0 < kEnd + ${tileK}u; k0 += ${tileK}u) {
    if (k0 < kEnd) {
      ${a.fetch}
      ${b.fetch}
    }
    if (k0 > kBegin) {
      for (var kk = 0u; kk < ${tileK}u; kk++) {
        ${range(blockM / 4)
          .map((i) => `let left${i} = vec4<f32>(aTile[kk * ${a.stride}u + laneM + ${i * threadsM}u]);`)
          .join(' ')}
        ${columns.map((j) => `let right${j} = vec4<f32>(bTile[kk * ${b.stride}u + laneN + ${j * threadsN}u]);`).join(' ')}
        ${rows
          .map((i) => columns.map((j) => `sum${i}_${j} += left${Math.floor(i / 4)}.${'xyzw'[i % 4]} * right${j};`).join(' '))
          .join('\n        ')}
      }
    }
    workgroupBarrier();
    ${a.store(half)}
    ${b.store(half)}
    workgroupBarrier();
  }
  ${rows
    .map((i) => {
      const row = `aFirst + 4u * (laneM + ${Math.floor(i / 4) * threadsM}u) + ${i % 4}u`;
      return columns.map((j) => `cStore(cBase, ${row}, bFirst + 4u * (laneN + ${j * threadsN}u), sum${i}_${j});`).join(' ');
    })
    .join('\n  ')}
}`;
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

/** WGSL function `cStore(base, row, column, values)`: writes up to four values of a row of C. */
export function storeFunction({ vectorC, bias, accumulate }: Pick<Variant, 'vectorC' | 'bias' | 'accumulate'>): string {
  const place = (i: number) => (vectorC ? `column + ${i}u` : 'at');
  const biased = (i: number) => `bias[parameters.firstBias + ${place(i)}]`;
  if (vectorC) {
    return `fn cStore(base : u32, row : u32, column : u32, values : vec4<f32>) {
  if (row >= parameters.m || column >= parameters.n) { return; }
  let at = (base + row * parameters.ldc + column) / 4u;
  c[at] = parameters.alpha * values${bias ? ` + vec4<f32>(${range(4).map(biased).join(', ')})` : ''}${accumulate ? ' + c[at]' : ''};
}`;
  }
  return `fn cStore(base : u32, row : u32, column : u32, values : vec4<f32>) {
  if (row >= parameters.m) { return; }
  for (var i = 0u; i < 4u && column + i < parameters.n; i++) {
    let at = column + i;
    let place = base + row * parameters.ldc + at;
    c[place] = parameters.alpha * values[i]${bias ? ` + ${biased(0)}` : ''}${accumulate ? ' + c[place]' : ''};
  }
}`;
}

interface Stage {
  /** Vectors per row of k in workgroup memory. */
  stride: number;
  declare: string;
  fetch: string;
  store(half: string): string;
}

/** Fetching a slice into registers and storing it with k outermost. Rows along k come in blocks of four rows, which are transposed. */
function stage(options: { name: 'a' | 'b'; extent: number; tileK: number; threads: number; alongK: boolean }): Stage {
  const { name, extent, tileK, threads, alongK } = options;
  const quads = extent / 4;
  const stride = alongK ? quads + 1 : quads;
  const units = alongK ? (quads * tileK) / 4 : quads * tileK;
  const perUnit = alongK ? range(4) : [0];
  const rounds = range(Math.ceil(units / threads)).map((round) => ({
    unit: `lane + ${round * threads}u`,
    guard: (round + 1) * threads > units,
    register: (i: number) => `${name}Next${round}_${i}`,
  }));
  const each = (code: (round: (typeof rounds)[number]) => string) =>
    rounds
      .map((round) => {
        const body = `let unit = ${round.unit}; ${code(round)}`;
        return round.guard ? `if (${round.unit} < ${units}u) { ${body} }` : `{ ${body} }`;
      })
      .join('\n    ');
  const fetch = (register: string, i: number) =>
    alongK
      ? `${register} = ${name}Fetch(${name}Base, ${name}First + 4u * (unit / ${tileK / 4}u) + ${i}u, k0 + 4u * (unit % ${tileK / 4}u), ${name}End, kEnd);`
      : `${register} = ${name}Fetch(${name}Base, k0 + unit / ${quads}u, ${name}First + 4u * (unit % ${quads}u), kEnd, ${name}End);`;
  const store = (register: (i: number) => string, half: string) =>
    alongK
      ? `let place = 4u * (unit % ${tileK / 4}u) * ${stride}u + unit / ${tileK / 4}u;
      ${range(4)
        .map(
          (i) =>
            `${name}Tile[place + ${i * stride}u] = vec4<${half}>(vec4<f32>(${range(4)
              .map((r) => `${register(r)}.${'xyzw'[i]}`)
              .join(', ')}));`,
        )
        .join(' ')}`
      : `${name}Tile[unit] = vec4<${half}>(${register(0)});`;
  return {
    stride,
    declare: rounds.map(({ register }) => perUnit.map((i) => `var ${register(i)} = vec4<f32>();`).join(' ')).join(' '),
    fetch: each(({ register }) => perUnit.map((i) => fetch(register(i), i)).join(' ')),
    store: (half) => each(({ register }) => store(register, half)),
  };
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
