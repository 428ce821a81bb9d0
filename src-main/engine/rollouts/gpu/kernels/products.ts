/**
 * y [rows, out] = x [rows, in] · Wᵀ in tiles, each weight read once for up to 64 rows; every output is one sum over the inputs in their order, so
 * it is the same for every tile. See lanes.ts for a few rows.
 */
import type { Shader } from '../program.ts';
import { type WeightFormat, weightReader } from './weight-format.ts';

/** What becomes of the sums: they are stored, added to what is there, or, for a gate beside an up projection, y = silu(gate) · up. */
export type Epilogue = 'store' | 'add' | 'swiglu';

export interface ProductShape {
  format: WeightFormat;
  inFeatures: number;
  /** Rows of the weights; with `swiglu` the first half are gates. */
  outFeatures: number;
  /** Values from one row of y to the next. */
  stride: number;
  /** Not with `swiglu`. */
  bias: boolean;
  epilogue: Epilogue;
}

/** Columns of y; half the weights' rows with `swiglu`. */
export function productColumns({ outFeatures, epilogue }: ProductShape): number {
  return epilogue === 'swiglu' ? outFeatures / 2 : outFeatures;
}

/** Bindings: x, y, place (first column of y in its first word), bias if there is one; the weights, which are left to be declared, follow. */
export function productHeader(shape: ProductShape): string {
  const { bias, inFeatures } = shape;
  return `@group(0) @binding(0) var<storage, read> x : array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y : array<f32>;
@group(0) @binding(2) var<uniform> place : vec4<u32>;
${bias ? '@group(0) @binding(3) var<storage, read> bias : array<f32>;' : ''}
const units = ${inFeatures / 4}u;
const columns = ${productColumns(shape)}u;
${finish(shape)}`;
}

/** Of the first buffer of the weights. */
export function weightsBinding({ bias }: ProductShape): number {
  return bias ? 4 : 3;
}

/** `fn finish(row, column, sum, other)`, where `other` is the up projection's sum with `swiglu`. */
function finish({ bias, epilogue, stride }: ProductShape): string {
  const at = `row * ${stride}u + place.x + column`;
  const biased = bias ? '(sum + bias[place.x + column])' : 'sum';
  const statement = {
    store: `y[${at}] = ${biased};`,
    add: `y[${at}] = y[${at}] + ${biased};`,
    swiglu: `y[${at}] = sum / (1.0 + exp(-sum)) * other;`,
  }[epilogue];
  return `fn finish(row : u32, column : u32, sum : f32, other : f32) { ${statement} }`;
}

export function productName(form: string, { format, inFeatures, outFeatures, epilogue }: ProductShape): string {
  return `decode-${form} ${epilogue} ${format.kind}${format.kind === 'integer' ? format.bits : ''} ${inFeatures}→${outFeatures}`;
}

export interface Tile {
  /** Of x: 16, 32 or 64. */
  rows: number;
  /** Of W: 16, 32 or 64. */
  columns: number;
}

/** Inputs per round, in units of four; rows of the tiles are one unit apart from that, against bank conflicts. */
const depth = 4;
const pitch = depth + 1;

/**
 * Workgroups: [⌈weight rows / tile columns⌉, ⌈rows / tile rows⌉]. x and y hold whole tiles of rows; rows beyond those asked for are computed
 * whatever they hold.
 */
export function tilesProduct(shape: ProductShape, tile: Tile): Shader {
  const swiglu = shape.epilogue === 'swiglu';
  const across = tile.columns / 4;
  const down = tile.rows / 4;
  const threads = across * down;
  const four = [0, 1, 2, 3];
  const sums = four.flatMap((i) => four.map((j) => [i, j] as const));
  // A thread's four columns are `across` apart; with gates beside ups they are gate, up, gate, up.
  const column = (j: number) => (swiglu ? `first + ${(j >> 1) * across}u + c` : `first + ${j * across}u + c`);
  const weightRow = swiglu
    ? `min(first + (i / ${2 * across}u) * ${across}u + i % ${across}u, columns - 1u) + ((i / ${across}u) % 2u) * columns`
    : 'min(first + i, columns - 1u)';
  const stores = swiglu
    ? four.flatMap((i) =>
        [0, 2].map((j) => `if (${column(j)} < columns) { finish(row + ${i}u * ${down}u, ${column(j)}, s${i}${j}, s${i}${j + 1}); }`),
      )
    : sums.map(([i, j]) => `if (${column(j)} < columns) { finish(row + ${i}u * ${down}u, ${column(j)}, s${i}${j}, 0.0); }`);
  const code = `${productHeader(shape)}
${weightReader(shape.format, shape.inFeatures, weightsBinding(shape))}
var<workgroup> left : array<vec4<f32>, ${tile.rows * pitch}>;
var<workgroup> right : array<vec4<f32>, ${tile.columns * pitch}>;
@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(local_invocation_index) t : u32) {
  let first = id.x * ${swiglu ? tile.columns / 2 : tile.columns}u;
  let top = id.y * ${tile.rows}u;
  let c = t % ${across}u;
  let r = t / ${across}u;
  ${sums.map(([i, j]) => `var s${i}${j} = 0.0;`).join(' ')}
  for (var unit = 0u; unit < units; unit += ${depth}u) {
    for (var place = t; place < ${tile.rows * depth}u; place += ${threads}u) {
      let i = place / ${depth}u;
      let u = unit + place % ${depth}u;
      var value = vec4<f32>();
      if (u < units) { value = x[(top + i) * units + u]; }
      left[i * ${pitch}u + place % ${depth}u] = value;
    }
    for (var place = t; place < ${tile.columns * depth}u; place += ${threads}u) {
      let i = place / ${depth}u;
      let u = unit + place % ${depth}u;
      var value = vec4<f32>();
      if (u < units) { value = weight4(${weightRow}, u); }
      right[i * ${pitch}u + place % ${depth}u] = value;
    }
    workgroupBarrier();
    for (var u = 0u; u < ${depth}u; u++) {
      ${four.map((i) => `let a${i} = left[(r + ${i * down}u) * ${pitch}u + u];`).join(' ')}
      ${four.map((j) => `let b${j} = right[(c + ${j * across}u) * ${pitch}u + u];`).join(' ')}
      ${sums.map(([i, j]) => `s${i}${j} = ${chain(`a${i}`, `b${j}`, `s${i}${j}`)};`).join('\n      ')}
    }
    workgroupBarrier();
  }
  let row = top + r;
  ${stores.join('\n  ')}
}`;
  return { name: `${productName('tiles', shape)}, ${tile.rows} × ${tile.columns}`, code };
}

/** sum + a · b, the four products added one after the other. */
export function chain(a: string, b: string, sum: string): string {
  return ['x', 'y', 'z', 'w'].reduce((total, lane) => `fma(${a}.${lane}, ${b}.${lane}, ${total})`, sum);
}
