/**
 * The key/value cache of a layer and the kernels that fill it. Both are [slot][kv head] blocks; keys lie as [unit][capacity] and values as
 * [capacity][unit], a unit being four components of a head, so that threads side by side read side by side: positions for scores, components
 * for sums of values.
 */
import type { ModelConfig } from '../../../model/config.ts';
import type { Shader } from '../program.ts';
import { idle } from './rows.ts';

export type CacheKind = 'float32' | 'float16';

export interface CacheShape {
  kind: CacheKind;
  slots: number;
  kvHeads: number;
  headDim: number;
  /** Positions per slot. */
  capacity: number;
}

/** Of the keys, or the values, of one layer. */
export function cacheBytes({ kind, slots, kvHeads, headDim, capacity }: CacheShape): number {
  return slots * kvHeads * capacity * headDim * (kind === 'float32' ? 4 : 2);
}

/** Declares `keys` and `values` from `binding` on, with `keyAt`, `valueAt`, `setKey` and `setValue` over (block, unit, position). */
export function cacheDeclarations({ kind, headDim, capacity }: CacheShape, access: 'read' | 'read_write', binding: number): string {
  const units = headDim / 4;
  const element = kind === 'float32' ? 'vec4<f32>' : 'vec2<u32>';
  const unpack = (value: string) => (kind === 'float32' ? value : `unpackHalves(${value})`);
  const pack = kind === 'float32' ? 'value' : 'packHalves(value)';
  const halves = `
fn unpackHalves(p : vec2<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(p.x), unpack2x16float(p.y)); }
fn packHalves(v : vec4<f32>) -> vec2<u32> {
  let c = clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0));
  return vec2<u32>(pack2x16float(c.xy), pack2x16float(c.zw));
}`;
  const at = `
fn keyPlace(block : u32, unit : u32, position : u32) -> u32 { return (block * ${units}u + unit) * ${capacity}u + position; }
fn valuePlace(block : u32, unit : u32, position : u32) -> u32 { return (block * ${capacity}u + position) * ${units}u + unit; }
fn keyAt(block : u32, unit : u32, position : u32) -> vec4<f32> { return ${unpack('keys[keyPlace(block, unit, position)]')}; }
fn valueAt(block : u32, unit : u32, position : u32) -> vec4<f32> { return ${unpack('values[valuePlace(block, unit, position)]')}; }`;
  const set = `
fn setKey(block : u32, unit : u32, position : u32, value : vec4<f32>) { keys[keyPlace(block, unit, position)] = ${pack}; }
fn setValue(block : u32, unit : u32, position : u32, value : vec4<f32>) { values[valuePlace(block, unit, position)] = ${pack}; }`;
  return `
@group(0) @binding(${binding}) var<storage, ${access}> keys : array<${element}>;
@group(0) @binding(${binding + 1}) var<storage, ${access}> values : array<${element}>;
${kind === 'float32' ? '' : halves}${at}${access === 'read' ? '' : set}`;
}

const group = 32;

/**
 * Queries and keys of qkv [rows, (heads + 2 · kvHeads) · headDim] normalized (where the model does) and rotated; queries are multiplied by
 * 1 / √headDim in place, keys and values go into the cache at the row's slot and position. Workgroups: [heads + 2 · kvHeads, rows].
 * Bindings: qkv, rows, cosines, sines, [query norm, key norm,] keys, values.
 */
export function appendShader(config: ModelConfig, cache: CacheShape): Shader {
  const { heads, kvHeads, headDim, qkNorm } = config;
  const half = headDim / 2;
  const norms = `
@group(0) @binding(4) var<storage, read> queryNorm : array<f32>;
@group(0) @binding(5) var<storage, read> keyNorm : array<f32>;`;
  const code = `
@group(0) @binding(0) var<storage, read_write> qkv : array<f32>;
@group(0) @binding(1) var<storage, read> rows : array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> cosines : array<f32>;
@group(0) @binding(3) var<storage, read> sines : array<f32>;
${qkNorm ? norms : ''}
${cacheDeclarations(cache, 'read_write', qkNorm ? 6 : 4)}
var<workgroup> head : array<f32, ${headDim}>;
var<workgroup> sums : array<f32, ${group}>;
@compute @workgroup_size(${group}) fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(local_invocation_index) t : u32) {
  let place = rows[id.y];
  let isIdle = place.y == ${idle}u;
  let position = select(place.y, 0u, isIdle);
  let origin = (id.y * ${heads + 2 * kvHeads}u + id.x) * ${headDim}u;
  let isQuery = id.x < ${heads}u;
  let isValue = id.x >= ${heads + kvHeads}u;
  for (var j = t; j < ${headDim}u; j += ${group}u) { head[j] = qkv[origin + j]; }
  workgroupBarrier();
  ${qkNorm ? normalize(config) : ''}
  if (!isValue) {
    for (var j = t; j < ${half}u; j += ${group}u) {
      let a = head[j];
      let b = head[j + ${half}u];
      let c = cosines[position * ${half}u + j];
      let s = sines[position * ${half}u + j];
      head[j] = a * c - b * s;
      head[j + ${half}u] = b * c + a * s;
    }
  }
  workgroupBarrier();
  if (isQuery) {
    for (var j = t; j < ${headDim}u; j += ${group}u) { qkv[origin + j] = head[j] * ${1 / Math.sqrt(headDim)}; }
  } else if (!isIdle) {
    let block = place.x * ${kvHeads}u + (id.x - ${heads}u) % ${kvHeads}u;
    for (var unit = t; unit < ${headDim / 4}u; unit += ${group}u) {
      let v = vec4<f32>(head[4u * unit], head[4u * unit + 1u], head[4u * unit + 2u], head[4u * unit + 3u]);
      if (isValue) { setValue(block, unit, position, v); } else { setKey(block, unit, position, v); }
    }
  }
}`;
  return { name: `decode-append ${heads}/${kvHeads} × ${headDim}${qkNorm ? ' normalized' : ''} ${cache.kind}`, code };
}

function normalize({ headDim, rmsNormEps }: ModelConfig): string {
  return `
  var sum = 0.0;
  for (var j = t; j < ${headDim}u; j += ${group}u) { sum += head[j] * head[j]; }
  sums[t] = sum;
  workgroupBarrier();
  for (var stride = ${group / 2}u; stride > 0u; stride = stride >> 1u) {
    if (t < stride) { sums[t] += sums[t + stride]; }
    workgroupBarrier();
  }
  let factor = 1.0 / sqrt(sums[0] / ${headDim}.0 + ${rmsNormEps});
  if (!isValue) {
    for (var j = t; j < ${headDim}u; j += ${group}u) { head[j] = head[j] * factor * select(keyNorm[j], queryNorm[j], isQuery); }
  }
  workgroupBarrier();`;
}

/**
 * Copies keys and values of a prompt's first positions between slots. Workgroups: [pairs, kvHeads]; pairs are [from, to, positions, 0].
 * Bindings: pairs, keys, values.
 */
export function copyShader(cache: CacheShape): Shader {
  const { kvHeads, headDim, kind } = cache;
  const units = headDim / 4;
  const code = `
@group(0) @binding(0) var<storage, read> pairs : array<vec4<u32>>;
${cacheDeclarations(cache, 'read_write', 1)}
@compute @workgroup_size(128) fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(local_invocation_index) t : u32) {
  let pair = pairs[id.x];
  let source = pair.x * ${kvHeads}u + id.y;
  let to = pair.y * ${kvHeads}u + id.y;
  for (var i = t; i < pair.z * ${units}u; i += 128u) {
    keys[keyPlace(to, i / pair.z, i % pair.z)] = keys[keyPlace(source, i / pair.z, i % pair.z)];
    values[valuePlace(to, i % ${units}u, i / ${units}u)] = values[valuePlace(source, i % ${units}u, i / ${units}u)];
  }
}`;
  return { name: `decode-copy ${kvHeads} × ${headDim} ${kind}`, code };
}
