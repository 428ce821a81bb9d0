/**
 * The register-tile GEMM shader: a workgroup computes one tile of C from slices of A and B that it stages in workgroup memory, each invocation
 * a block of it in registers. Both slices are staged with k outermost, so the inner loop reads vectors whatever the transposes; slices whose
 * rows run along k are transposed in registers, four rows at a time. The next slices are fetched while the present ones are multiplied.
 */
import { fetchFunctions, itemBases, range, startUp, storeFunction, type Variant, variantName } from './variant.ts';

export interface TileShape {
  /** Of the tile of C, and the depth of a slice. */
  tileM: number;
  tileN: number;
  tileK: number;
  /** Of an invocation's block, multiples of 4. */
  blockM: number;
  blockN: number;
  /** Slices are staged as f16. */
  half: boolean;
}

export function tileThreads({ tileM, tileN, blockM, blockN }: TileShape): number {
  return (tileM / blockM) * (tileN / blockN);
}

/** Bytes of workgroup memory at most. */
export function tileMemory({ tileM, tileN, tileK, half }: TileShape): number {
  return tileK * (tileM + tileN + 8) * (half ? 2 : 4);
}

export function tileKernelName({ tileM, tileN, tileK, blockM, blockN, half }: TileShape, variant: Variant): string {
  return `gemm-${tileM}x${tileN}x${tileK}-${blockM}x${blockN}${half ? 'h' : ''}-${variantName(variant)}`;
}

export function tileKernel(shape: TileShape, variant: Variant): string {
  const { tileM, tileN, tileK, blockM, blockN } = shape;
  const threads = tileThreads(shape);
  const half = shape.half ? 'f16' : 'f32';
  const a = stage({ name: 'a', extent: tileM, tileK, threads, alongK: !variant.transA });
  const b = stage({ name: 'b', extent: tileN, tileK, threads, alongK: variant.transB });
  const [rows, columns] = [range(blockM), range(blockN / 4)];
  const threadsM = tileM / blockM;
  const threadsN = tileN / blockN;
  return `
${fetchFunctions(variant)}
${storeFunction(variant)}
var<workgroup> aTile : array<vec4<${half}>, ${tileK * a.stride}>;
var<workgroup> bTile : array<vec4<${half}>, ${tileK * b.stride}>;

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group : vec3<u32>, @builtin(local_invocation_index) lane : u32) {
  ${startUp(variant)}
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
