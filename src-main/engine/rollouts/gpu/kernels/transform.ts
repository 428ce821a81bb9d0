/**
 * Online transforms of the rows that a product reads: a row of x, seen as X [rows, columns], becomes leftᵀ · X · right. A workgroup computes some
 * columns of the result from all of X, so only these lie in its memory, and long rows are shared by several workgroups. A short row is one
 * workgroup's, which then quantizes it too.
 */
import type { Shader } from '../program.ts';
import { tokenGrid } from './token-grid.ts';

/** Which matrices there are, [rows, rows] and [columns, columns]; the other one is the identity. */
export interface TransformShape {
  rows: number;
  columns: number;
  left: boolean;
  right: boolean;
}

/** Floats that every device's workgroups hold. */
const mostFloats = 4096;
/** Rows that an invocation computes at a time. */
const depth = 4;
const rowIndices = [0, 1, 2, 3];
/** Of a block, where a row is shared. */
const mostColumns = 16;

/** Rows of a left matrix that the kernel can do with. */
export const largestLeft = mostFloats;

/** Whether one workgroup computes a whole row, and can quantize it. */
export function isWhole({ rows, columns }: TransformShape): boolean {
  return rows * columns <= mostFloats;
}

interface Blocks {
  /** Columns that are read at once. */
  unit: 1 | 4;
  /** Units in a row of X, and in a block of it. */
  units: number;
  width: number;
}

function blocksOf(shape: TransformShape): Blocks {
  const { rows, columns, left } = shape;
  const held = left ? rows : 1;
  const unit = columns % 4 === 0 && held * 4 <= mostFloats ? 4 : 1;
  const units = columns / unit;
  if (isWhole(shape)) return { unit, units, width: units };
  let width = mostColumns / unit;
  while (width > 1 && held * width * unit > mostFloats) width /= 2;
  return { unit, units, width };
}

/** Workgroups to a row. */
export function transformGroups(shape: TransformShape): number {
  const { units, width } = blocksOf(shape);
  return Math.ceil(units / width);
}

/**
 * y = transformed x, both [rows of x, rows · columns]; with `quantizes`, for whole rows, to their nearest levels. Workgroups: [rows of x,
 * `transformGroups`]. Bindings: x, y, [left,] [right,] [quantizer (uniform)].
 */
export function transformShader(shape: TransformShape, quantizes: boolean): Shader {
  const { rows, columns, left, right } = shape;
  const { unit, units, width } = blocksOf(shape);
  const items = Math.ceil(rows / depth) * width;
  const threads = [64, 128].find((count) => items <= count) ?? 256;
  const value = unit === 4 ? 'vec4<f32>' : 'f32';
  const held = Math.max(left ? rows * width : 0, quantizes ? 2 * threads : 0);
  const leftQuads = rows % depth === 0;
  const bindings = [
    `var<storage, read> x : array<${value}>`,
    `var<storage, read_write> y : array<${value}>`,
    ...(left ? [`var<storage, read> left : array<${leftQuads ? 'vec4<f32>' : 'f32'}>`] : []),
    ...(right ? [`var<storage, read> right : array<${value}>`] : []),
    ...(quantizes ? ['var<uniform> quantizer : array<vec4<f32>, 2>'] : []),
  ];
  const each = (line: (i: number) => string) => rowIndices.map(line).join('\n      ');
  /** Runs `body` for every strip of four rows and every unit of the block. */
  const overItems = (body: string) => `
  for (var item = t; item < ${items}u; item += ${threads}u) {
    let within = item % ${width}u;
    let column = group.y * ${width}u + within;
    let first = item / ${width}u * ${depth}u;
    if (column < ${units}u) {
      ${body}
    }
  }`;
  const store = each((i) => {
    const range = quantizes ? `range = max(range, rangesOf(sum${i}));` : '';
    return `if (first + ${i}u < ${rows}u) { y[start + (first + ${i}u) * ${units}u + column] = sum${i}; ${range} }`;
  });
  const hold = each((i) => `if (first + ${i}u < ${rows}u) { block[(first + ${i}u) * ${width}u + within] = sum${i}; }`);
  const byRight = each((i) => `let x${i} = start + min(first + ${i}u, ${rows - 1}u) * ${units}u;`).concat(
    right ? timesRight(unit, units, value) : each((i) => `let sum${i} = x[x${i} + column];`),
  );
  const code = `${bindings.map((line, place) => `@group(0) @binding(${place}) ${line};`).join('\n')}
${quantizes ? `${tokenGrid}${unitGrid(unit, value)}` : ''}
${held > 0 ? `var<workgroup> block : array<${value}, ${held}>;` : ''}
@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) group : vec3<u32>, @builtin(local_invocation_index) t : u32) {
  let start = group.x * ${rows * units}u;
  ${quantizes ? 'setQuantizer(quantizer[0], quantizer[1]);\n  var range = vec2<f32>();' : ''}
  ${overItems(`${byRight}\n      ${left ? hold : store}`)}
  ${left ? `workgroupBarrier();${overItems(`${timesLeft(rows, width, value, leftQuads)}\n      ${store}`)}` : ''}
  ${quantizes ? quantizeItems(unit, threads, overItems(requantize(rows, units))) : ''}
}`;
  const factors = `${left ? 'left ' : ''}${right ? 'right ' : ''}${quantizes ? 'quantized ' : ''}`;
  return { name: `decode-transform ${factors}${rows}×${columns}`, code };
}

/** sum0 … sum3 = rows x0 … x3 of X times the unit `column` of right. */
function timesRight(unit: 1 | 4, units: number, value: string): string {
  const components = unit === 4 ? ['.x', '.y', '.z', '.w'] : [''];
  const sum = (i: number) => `sum${i} += ${components.map((component, k) => `v${i}${component} * r${k}`).join(' + ')};`;
  return `
      ${rowIndices.map((i) => `var sum${i} = ${value}();`).join(' ')}
      for (var c = 0u; c < ${units}u; c++) {
        let place = c * ${unit * units}u + column;
        ${components.map((_, k) => `let r${k} = right[place + ${k * units}u];`).join(' ')}
        ${rowIndices.map((i) => `let v${i} = x[x${i} + c];`).join(' ')}
        ${rowIndices.map(sum).join('\n        ')}
      }`;
}

/** sum0 … sum3 = the unit `within` of the block, added up over its rows with the weights of columns `first` … of left. */
function timesLeft(rows: number, width: number, value: string, quads: boolean): string {
  const components = ['x', 'y', 'z', 'w'];
  const weight = (i: number) => (quads ? `weights.${components[i]}` : `left[a * ${rows}u + min(first + ${i}u, ${rows - 1}u)]`);
  return `
      ${rowIndices.map((i) => `var sum${i} = ${value}();`).join(' ')}
      for (var a = 0u; a < ${rows}u; a++) {
        let v = block[a * ${width}u + within];
        ${quads ? `let weights = left[(a * ${rows}u + first) / 4u];` : ''}
        ${rowIndices.map((i) => `sum${i} += ${weight(i)} * v;`).join(' ')}
      }`;
}

/** `rangesOf` and `quantizedUnit` of as many values as are read at once. */
function unitGrid(unit: 1 | 4, value: string): string {
  if (unit === 1) {
    return `
fn rangesOf(v : f32) -> vec2<f32> { return rangeOf(v); }
fn quantizedUnit(v : f32) -> f32 { return quantized(v); }`;
  }
  return `
fn rangesOf(v : ${value}) -> vec2<f32> { return max(max(rangeOf(v.x), rangeOf(v.y)), max(rangeOf(v.z), rangeOf(v.w))); }
fn quantizedUnit(v : ${value}) -> ${value} { return ${value}(quantized(v.x), quantized(v.y), quantized(v.z), quantized(v.w)); }`;
}

/** The grid of the row from the invocations' ranges, then `items`. The block's memory is free by then. Few barriers, not a tree of them. */
function quantizeItems(unit: 1 | 4, threads: number, items: string): string {
  const [value, first] = unit === 4 ? ['vec4<f32>', '.x'] : ['f32', ''];
  const few = threads / 16;
  const reduced = (from: string, step: number, count: number) => `
    var high = block[${from}];
    var low = block[${threads}u + ${from}];
    for (var i = 1u; i < ${count}u; i++) {
      high = max(high, block[${from} + ${step}u * i]);
      low = max(low, block[${threads}u + ${from} + ${step}u * i]);
    }`;
  return `
  workgroupBarrier();
  block[t] = ${value}(range.x);
  block[${threads}u + t] = ${value}(range.y);
  workgroupBarrier();
  if (t < ${few}u) {${reduced('t', few, 16)}
    block[t] = high;
    block[${threads}u + t] = low;
  }
  workgroupBarrier();
  {${reduced('0u', 1, few)}
    setGrid(vec2<f32>(high${first}, low${first}));
  }${items}`;
}

/** An invocation reads what it has written itself. */
function requantize(rows: number, units: number): string {
  return `
      for (var i = first; i < min(first + ${depth}u, ${rows}u); i++) {
        let place = start + i * ${units}u + column;
        y[place] = quantizedUnit(y[place]);
      }`;
}
