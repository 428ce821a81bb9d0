/**
 * The key/value cache of a layer and the kernels that fill it. Both are [slot][kv head] blocks; keys lie as [unit][capacity] and values as
 * [capacity][unit], a unit being four components of a head, so that threads side by side read side by side: positions for scores, components
 * for sums of values.
 */
import type { ModelConfig } from '../../../model/config.ts';
import type { Shader } from '../program.ts';
import { idle } from './rows.ts';
import { tokenGrid } from './token-grid.ts';

/** `int8` and `int4`: codes of up to so many bits, and behind all codes scale and zero point of every position. */
export type CacheKind = 'float32' | 'float16' | 'int8' | 'int4';

export interface CacheShape {
  keys: CacheKind;
  values: CacheKind;
  slots: number;
  kvHeads: number;
  headDim: number;
  /** Positions per slot. */
  capacity: number;
}

/** Components of a head in one element of the cache: a unit of floats, or a word of codes. */
const elementSize = { float32: 4, float16: 4, int8: 4, int4: 8 };
const elementBytes = { float32: 16, float16: 8, int8: 4, int4: 4 };

function isCoded(kind: CacheKind): kind is 'int8' | 'int4' {
  return kind === 'int8' || kind === 'int4';
}

/** Elements of one position of a block. */
function elementsOf(kind: CacheKind, headDim: number): number {
  return Math.ceil(headDim / elementSize[kind]);
}

/** Of the keys, or the values, of one layer. */
export function cacheBytes(kind: CacheKind, { slots, kvHeads, headDim, capacity }: CacheShape): number {
  const grid = isCoded(kind) ? 8 : 0;
  return slots * kvHeads * capacity * (elementsOf(kind, headDim) * elementBytes[kind] + grid);
}

/**
 * Declares `keys` and `values` from `binding` on, with `keyAt` and `valueAt` over (block, unit, position), `keyPlace` and `valuePlace` over
 * (block, element, position), and for codes `keyGridPlace` and `valueGridPlace` over (block, position).
 */
export function cacheDeclarations(cache: CacheShape, access: 'read' | 'read_write', binding: number): string {
  const { headDim, capacity } = cache;
  const part = (name: 'key' | 'value', kind: CacheKind, place: number) => {
    const elements = elementsOf(kind, headDim);
    const at =
      name === 'key'
        ? `(block * ${elements}u + element) * ${capacity}u + position`
        : `(block * ${capacity}u + position) * ${elements}u + element`;
    const type = { float32: 'vec4<f32>', float16: 'vec2<u32>', int8: 'u32', int4: 'u32' }[kind];
    const perElement = elementSize[kind] / 4;
    const bits = 32 / elementSize[kind];
    const mask = 2 ** bits - 1;
    const codes = `
  let codes = ${name}s[${name}Place(block, unit / ${perElement}u, position)] >> (${4 * bits}u * (unit % ${perElement}u));
  let grid = ${name}GridPlace(block, position);
  let c = vec4<f32>((vec4<u32>(codes) >> vec4<u32>(0u, ${bits}u, ${2 * bits}u, ${3 * bits}u)) & vec4<u32>(${mask}u));
  return (c - bitcast<f32>(${name}s[grid + 1u])) * bitcast<f32>(${name}s[grid]);`;
    const element = `${name}s[${name}Place(block, unit, position)]`;
    const body = isCoded(kind) ? codes : `return ${kind === 'float32' ? element : `unpackHalves(${element})`};`;
    const first = cache.slots * cache.kvHeads * capacity * elements;
    const grid = `fn ${name}GridPlace(block : u32, position : u32) -> u32 { return ${first}u + 2u * (block * ${capacity}u + position); }`;
    return `
@group(0) @binding(${place}) var<storage, ${access}> ${name}s : array<${type}>;
fn ${name}Place(block : u32, element : u32, position : u32) -> u32 { return ${at}; }
${isCoded(kind) ? grid : ''}
fn ${name}At(block : u32, unit : u32, position : u32) -> vec4<f32> { ${body} }`;
  };
  const halves = `
fn unpackHalves(p : vec2<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(p.x), unpack2x16float(p.y)); }
fn packHalves(v : vec4<f32>) -> vec2<u32> {
  let c = clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0));
  return vec2<u32>(pack2x16float(c.xy), pack2x16float(c.zw));
}`;
  return `${halves}${part('key', cache.keys, binding)}${part('value', cache.values, binding + 1)}`;
}

/** Of the invocations of a workgroup that appends a plain head. */
const plainGroup = 32;
const largestGroup = 128;

/** What is done to heads: transforms of queries and keys, quantizers of keys and values. */
export interface HeadActivations {
  transformed: { queries: boolean; keys: boolean };
  quantized: { keys: boolean; values: boolean };
}

type HeadSizes = Pick<ModelConfig, 'heads' | 'kvHeads' | 'headDim' | 'qkNorm' | 'rmsNormEps'>;

const plainHeads: HeadActivations = { transformed: { queries: false, keys: false }, quantized: { keys: false, values: false } };

/**
 * Queries and keys of qkv [rows, (heads + 2 · kvHeads) · headDim] normalized (where the model does), rotated and transformed; queries are multiplied
 * by 1 / √headDim in place, keys and values go into the cache at the row's slot and position. Workgroups: [heads + 2 · kvHeads, rows].
 * Bindings: qkv, rows, cosines, sines, [norms of queries and of keys,] keys, values, [transforms of queries and of keys,] [quantizers of keys and
 * of values (uniform)].
 */
export function appendShader(config: HeadSizes, cache: CacheShape, { transformed, quantized } = plainHeads): Shader {
  const { heads, kvHeads, headDim, qkNorm } = config;
  const half = headDim / 2;
  const isTransformed = transformed.queries || transformed.keys;
  const usesGrids = quantized.keys || quantized.values;
  const first = qkNorm ? 5 : 4;
  const group = isTransformed ? Math.min(largestGroup, 2 ** Math.ceil(Math.log2(headDim))) : plainGroup;
  const code = `
@group(0) @binding(0) var<storage, read_write> qkv : array<f32>;
@group(0) @binding(1) var<storage, read> rows : array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> cosines : array<f32>;
@group(0) @binding(3) var<storage, read> sines : array<f32>;
${qkNorm ? '@group(0) @binding(4) var<storage, read> norms : array<f32>;' : ''}
${cacheDeclarations(cache, 'read_write', first)}
${isTransformed ? `@group(0) @binding(${first + 2}) var<storage, read> transforms : array<f32>;` : ''}
${usesGrids ? `@group(0) @binding(${first + (isTransformed ? 3 : 2)}) var<uniform> quantizers : array<vec4<f32>, 4>;${tokenGrid}` : ''}
const group = ${group}u;
var<workgroup> head : array<f32, ${headDim}>;
${isTransformed ? `var<workgroup> turned : array<f32, ${headDim}>;` : ''}
var<workgroup> sums : array<f32, group>;
${usesGrids ? 'var<workgroup> ranges : array<vec4<f32>, group>;' : ''}
@compute @workgroup_size(${group}) fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(local_invocation_index) t : u32) {
  let place = rows[id.y];
  let isIdle = place.y == ${idle}u;
  let position = select(place.y, 0u, isIdle);
  let origin = (id.y * ${heads + 2 * kvHeads}u + id.x) * ${headDim}u;
  let isQuery = id.x < ${heads}u;
  let isValue = id.x >= ${heads + kvHeads}u;
  for (var j = t; j < ${headDim}u; j += group) { head[j] = qkv[origin + j]; }
  workgroupBarrier();
  ${qkNorm ? normalize(config) : ''}
  if (!isValue) {
    for (var j = t; j < ${half}u; j += group) {
      let a = head[j];
      let b = head[j + ${half}u];
      let c = cosines[position * ${half}u + j];
      let s = sines[position * ${half}u + j];
      head[j] = a * c - b * s;
      head[j + ${half}u] = b * c + a * s;
    }
  }
  workgroupBarrier();
  ${isTransformed ? transform(transformed, headDim) : ''}
  if (isQuery) {
    for (var j = t; j < ${headDim}u; j += group) { qkv[origin + j] = head[j] * ${1 / Math.sqrt(headDim)}; }
  }
  ${quantized.keys ? headGrid('!isQuery && !isValue', 0, headDim) : ''}
  ${quantized.values ? headGrid('isValue', 1, headDim) : ''}
  if (!isQuery && !isIdle) {
    let block = place.x * ${kvHeads}u + (id.x - ${heads}u) % ${kvHeads}u;
    if (isValue) {${store('value', cache.values, quantized.values, headDim)}
    } else {${store('key', cache.keys, quantized.keys, headDim)}
    }
  }
}`;
  const done = `${qkNorm ? ' normalized' : ''}${isTransformed ? ' transformed' : ''}${usesGrids ? ' quantized' : ''}`;
  return { name: `decode-append ${heads}/${kvHeads} × ${headDim}${done} ${kindName(cache)}`, code };
}

/** The head times its matrix [headDim, headDim]. */
function transform({ queries, keys }: HeadActivations['transformed'], headDim: number): string {
  const both = queries && keys;
  return `
  if (${both ? '!isValue' : queries ? 'isQuery' : '!isQuery && !isValue'}) {
    let matrix = ${both ? `select(${headDim * headDim}u, 0u, isQuery)` : '0u'};
    for (var j = t; j < ${headDim}u; j += group) {
      var sum = 0.0;
      for (var k = 0u; k < ${headDim}u; k++) { sum += head[k] * transforms[matrix + k * ${headDim}u + j]; }
      turned[j] = sum;
    }
    workgroupBarrier();
    for (var j = t; j < ${headDim}u; j += group) { head[j] = turned[j]; }
    workgroupBarrier();
  }`;
}

function kindName({ keys, values }: CacheShape): string {
  return keys === values ? keys : `${keys} and ${values}`;
}

/** The grid of the head where `condition`, the same for the whole workgroup, holds. */
function headGrid(condition: string, quantizer: 0 | 1, headDim: number): string {
  return `
  if (${condition}) {
    setQuantizer(quantizers[${2 * quantizer}], quantizers[${2 * quantizer + 1}]);
    var range = vec2<f32>();
    var isNumber = true;
    for (var j = t; j < ${headDim}u; j += group) {
      range = max(range, rangeOf(head[j]));
      isNumber = isNumber && isFinite(head[j]);
    }
    ranges[t] = vec4<f32>(range, select(1.0, 0.0, isNumber), 0.0);
    workgroupBarrier();
    for (var stride = group / 2u; stride > 0u; stride = stride >> 1u) {
      if (t < stride) { ranges[t] = max(ranges[t], ranges[t + stride]); }
      workgroupBarrier();
    }
    setGrid(ranges[0].xy);
  }`;
}

/** Puts the head into the cache. A head with values that are no finite numbers gets NaN for a scale, so that codes do not hide them. */
function store(name: 'key' | 'value', kind: CacheKind, isQuantized: boolean, headDim: number): string {
  const loop = (statements: string) => `
      for (var element = t; element < ${elementsOf(kind, headDim)}u; element += group) {
        let place = ${name}Place(block, element, position);
        ${statements}
      }`;
  if (isCoded(kind)) {
    const size = elementSize[kind];
    return `${loop(`var word = 0u;
        for (var i = 0u; i < min(${size}u, ${headDim}u - ${size}u * element); i++) {
          word |= u32(codeOf(head[${size}u * element + i]) - lowest) << (${32 / size}u * i);
        }
        ${name}s[place] = word;`)}
      if (t == 0u) {
        let grid = ${name}GridPlace(block, position);
        ${name}s[grid] = select(bitcast<u32>(scale), 0x7fc00000u, ranges[0].z > 0.0);
        ${name}s[grid + 1u] = bitcast<u32>(zero - lowest);
      }`;
  }
  const lanes = [0, 1, 2, 3].map((i) => (isQuantized ? `quantized(head[4u * element + ${i}u])` : `head[4u * element + ${i}u]`));
  const vector = `vec4<f32>(${lanes.join(', ')})`;
  return loop(`${name}s[place] = ${kind === 'float16' ? `packHalves(${vector})` : vector};`);
}

function normalize({ headDim, rmsNormEps }: HeadSizes): string {
  return `
  var sum = 0.0;
  for (var j = t; j < ${headDim}u; j += group) { sum += head[j] * head[j]; }
  sums[t] = sum;
  workgroupBarrier();
  for (var stride = group / 2u; stride > 0u; stride = stride >> 1u) {
    if (t < stride) { sums[t] += sums[t + stride]; }
    workgroupBarrier();
  }
  let factor = 1.0 / sqrt(sums[0] / ${headDim}.0 + ${rmsNormEps});
  if (!isValue) {
    for (var j = t; j < ${headDim}u; j += group) { head[j] = head[j] * factor * norms[select(${headDim}u, 0u, isQuery) + j]; }
  }
  workgroupBarrier();`;
}

/**
 * Copies keys and values of a prompt's first positions between slots. Workgroups: [pairs, kvHeads]; pairs are [from, to, positions, 0].
 * Bindings: pairs, keys, values.
 */
export function copyShader(cache: CacheShape): Shader {
  const { kvHeads, headDim } = cache;
  const elements = (kind: CacheKind) => `${elementsOf(kind, headDim)}u`;
  const copyGrid = (name: 'key' | 'value', kind: CacheKind) =>
    isCoded(kind)
      ? `for (var i = t; i < 2u * pair.z; i += 128u) { ${name}s[${name}GridPlace(to, 0u) + i] = ${name}s[${name}GridPlace(source, 0u) + i]; }`
      : '';
  const code = `
@group(0) @binding(0) var<storage, read> pairs : array<vec4<u32>>;
${cacheDeclarations(cache, 'read_write', 1)}
@compute @workgroup_size(128) fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(local_invocation_index) t : u32) {
  let pair = pairs[id.x];
  let source = pair.x * ${kvHeads}u + id.y;
  let to = pair.y * ${kvHeads}u + id.y;
  for (var i = t; i < pair.z * ${elements(cache.keys)}; i += 128u) {
    keys[keyPlace(to, i / pair.z, i % pair.z)] = keys[keyPlace(source, i / pair.z, i % pair.z)];
  }
  for (var i = t; i < pair.z * ${elements(cache.values)}; i += 128u) { values[valuePlace(to, 0u, 0u) + i] = values[valuePlace(source, 0u, 0u) + i]; }
  ${copyGrid('key', cache.keys)}
  ${copyGrid('value', cache.values)}
}`;
  return { name: `decode-copy ${kvHeads} × ${headDim} ${kindName(cache)}`, code };
}
