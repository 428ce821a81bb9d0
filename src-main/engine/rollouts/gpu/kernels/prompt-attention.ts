/**
 * Attention of the rows of prompts, in tiles: rows side by side, with the query heads that share a key/value head, read keys and values from
 * workgroup memory, 32 positions at a time, by online softmax. Rows of several slots in one tile are computed one slot after the other. Blocks of
 * positions begin at multiples of 32 and those beyond a row's position leave it as it is, so that a row's result depends on its slot's cache
 * and its position alone.
 */
import type { ModelConfig } from '../../../model/config.ts';
import type { Shader } from '../program.ts';
import { type CacheShape, cacheDeclarations } from './cache.ts';
import { idle } from './rows.ts';

const threads = 128;
/** Queries of a tile, and positions of a block. */
const size = 32;
const pitch = size + 1;
/** Units of four components that lie in workgroup memory at a time. */
const depth = 8;
const least = '-3e38';

type Heads = Pick<ModelConfig, 'heads' | 'kvHeads' | 'headDim'>;

/** Most components of a head: a thread's sums have to stay in registers. */
export const largestPromptHead = 256;
/** Idle rows that follow the rows of prompts in their table, so that the last tile is whole. */
export const promptPadding = size;

/** Rows of a tile. */
export function promptTileRows({ heads, kvHeads }: Heads): number {
  return Math.floor((size * kvHeads) / heads);
}

/** Bindings: qkv, rows, output [rows, heads · headDim], keys, values. Workgroups: [kvHeads, ⌈rows / rows of a tile⌉]. */
export function promptAttentionShader(config: Heads, cache: CacheShape): Shader {
  const { heads, kvHeads, headDim } = config;
  const share = heads / kvHeads;
  const units = headDim / 4;
  const width = (heads + 2 * kvHeads) * units;
  const rows = promptTileRows(config);
  const parts = Array.from({ length: Math.ceil(units / depth) }, (_, part) => part);
  const each = (line: (part: number) => string) => parts.map(line).join('\n');
  const code = `
@group(0) @binding(0) var<storage, read> queries : array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> rows : array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> output : array<vec4<f32>>;
${cacheDeclarations(cache, 'read', 3)}
var<workgroup> tile : array<vec4<f32>, ${size * depth}>;
var<workgroup> query : array<vec4<f32>, ${size * (depth + 1)}>;
var<workgroup> scores : array<f32, ${size * pitch}>;
var<workgroup> reduced : array<f32, ${threads}>;
var<workgroup> fades : array<f32, ${size}>;
fn countOf(row : u32) -> u32 { return select(rows[row].y + 1u, 0u, rows[row].y == ${idle}u); }
fn headOf(q : u32, kvHead : u32) -> u32 { return kvHead * ${share}u + q % ${share}u; }
@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(local_invocation_index) t : u32) {
  let top = id.y * ${rows}u;
  let q = t / 4u;
  let ownRow = min(q / ${share}u, ${rows - 1}u);
  var high = ${least};
  var total = 0.0;
  let r = t / 8u;
  let c = t % 8u;
  ${each((part) => `var a${part} = vec4<f32>(); var b${part} = vec4<f32>();`)}


  var begin = 0u;
  while (begin < ${rows}u) {
    let slot = rows[top + begin].x;
    var end = begin;
    var reach = 0u;
    while (end < ${rows}u && rows[top + end].x == slot) {
      reach = max(reach, countOf(top + end));
      end++;
    }
    let block = slot * ${kvHeads}u + id.x;
    let limit = select(0u, countOf(top + ownRow), ownRow >= begin && ownRow < end);
    for (var first = 0u; first < reach; first += ${size}u) {
      let filled = min(reach - first, ${size}u);
      var s0 = vec4<f32>();
      var s1 = vec4<f32>();
      for (var start = 0u; start < ${units}u; start += ${depth}u) {
        workgroupBarrier();
        for (var i = t; i < ${size * depth}u; i += ${threads}u) {
          let u = start + i / ${size}u;
          tile[i] = vec4<f32>();
          if (u < ${units}u && first + i % ${size}u < reach) { tile[i] = keyAt(block, u, first + i % ${size}u); }
          let n = i / ${depth}u;
          let v = start + i % ${depth}u;
          var value = vec4<f32>();
          if (v < ${units}u && n < ${rows * share}u && countOf(top + n / ${share}u) > 0u) {
            value = queries[(top + n / ${share}u) * ${width}u + headOf(n, id.x) * ${units}u + v];
          }
          query[n * ${depth + 1}u + i % ${depth}u] = value;
        }
        workgroupBarrier();
        for (var u = 0u; u < ${depth}u; u++) {
          let x = query[r * ${depth + 1}u + u];
          let y = query[(r + 16u) * ${depth + 1}u + u];
          let k0 = tile[u * ${size}u + c];
          let k1 = tile[u * ${size}u + c + 8u];
          let k2 = tile[u * ${size}u + c + 16u];
          let k3 = tile[u * ${size}u + c + 24u];
          s0 += vec4<f32>(dot(x, k0), dot(x, k1), dot(x, k2), dot(x, k3));
          s1 += vec4<f32>(dot(y, k0), dot(y, k1), dot(y, k2), dot(y, k3));
        }
      }
      ${['x', 'y', 'z', 'w'].map((lane, i) => `scores[r * ${pitch}u + c + ${8 * i}u] = s0.${lane}; scores[(r + 16u) * ${pitch}u + c + ${8 * i}u] = s1.${lane};`).join('\n      ')}
      workgroupBarrier();
      // Four threads share a query, each with eight of the positions.
      let own = q * ${pitch}u + 8u * (t % 4u);
      let valid = min(max(limit, first + 8u * (t % 4u)) - first - 8u * (t % 4u), 8u);
      var most = ${least};
      for (var i = 0u; i < valid; i++) { most = max(most, scores[own + i]); }
      reduced[t] = most;
      workgroupBarrier();
      let next = max(high, max(max(reduced[4u * q], reduced[4u * q + 1u]), max(reduced[4u * q + 2u], reduced[4u * q + 3u])));
      let fade = exp(high - next);
      var sum = 0.0;
      for (var i = 0u; i < 8u; i++) {
        let weight = select(0.0, exp(scores[own + i] - next), i < valid);
        scores[own + i] = weight;
        sum += weight;
      }
      workgroupBarrier();
      reduced[t] = sum;
      if (t % 4u == 0u) { fades[q] = fade; }
      workgroupBarrier();
      total = total * fade + ((reduced[4u * q] + reduced[4u * q + 1u]) + (reduced[4u * q + 2u] + reduced[4u * q + 3u]));
      high = next;
      ${each(
        (part) => `${loadValues(part * depth, units)}
      a${part} = a${part} * fades[r];
      b${part} = b${part} * fades[r + 16u];
      for (var p = 0u; p < filled; p++) {
        let v = tile[p * ${depth}u + c];
        a${part} += scores[r * ${pitch}u + p] * v;
        b${part} += scores[(r + 16u) * ${pitch}u + p] * v;
      }`,
      )}
    }
    begin = end;
  }
  workgroupBarrier();
  if (t % 4u == 0u) { fades[q] = max(total, 1e-30); }
  workgroupBarrier();
  ${each((part) => `${store('r', `a${part}`, part)}\n  ${store('(r + 16u)', `b${part}`, part)}`)}
}`;
  function store(vector: string, value: string, part: number): string {
    const unit = `${part * depth}u + c`;
    const row = `top + ${vector} / ${share}u`;
    return `if (${unit} < ${units}u && ${vector} < ${rows * share}u && countOf(${row}) > 0u) {
    output[((${row}) * ${heads}u + headOf(${vector}, id.x)) * ${units}u + ${unit}] = ${value} / fades[${vector}];
  }`;
  }
  return { name: `decode-attention prompt ${heads}/${kvHeads} × ${headDim} of ${cache.capacity} ${cache.keys} ${cache.values}`, code };
}

/** Values of the block's positions from unit `start` on. What lies beyond the slot's rows may be no number. */
function loadValues(start: number, units: number): string {
  return `workgroupBarrier();
      for (var i = t; i < ${size * depth}u; i += ${threads}u) {
        let u = ${start}u + i % ${depth}u;
        tile[i] = vec4<f32>();
        if (u < ${units}u && first + i / ${depth}u < reach) { tile[i] = valueAt(block, u, first + i / ${depth}u); }
      }
      workgroupBarrier();`;
}
