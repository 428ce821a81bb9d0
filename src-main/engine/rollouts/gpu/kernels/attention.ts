/**
 * Attention of each row to its slot's cache up to its own position, by online softmax over segments of 256 positions. A workgroup serves the
 * query heads that share a key/value head, so keys and values are read once for all of them. Long caches are split: a workgroup per segment,
 * whose outcomes are merged in the order of the segments. That order, and hence a row's result, depends on the row's position alone.
 */
import type { ModelConfig } from '../../../model/config.ts';
import type { Shader } from '../program.ts';
import { type CacheShape, cacheDeclarations } from './cache.ts';
import { idle } from './rows.ts';

export const segmentPositions = 256;
const threads = 128;
/** Stands for a score below every other. */
const least = '-3e38';

/** Most components of a head: each of the threads holds four. */
export const largestHead = 4 * threads;

type Heads = Pick<ModelConfig, 'heads' | 'kvHeads' | 'headDim'>;

/** Floats of one segment's outcome of one head: sums of values, then maximum and total. */
export function partialFloats({ headDim }: Heads): number {
  return headDim + 4;
}

/**
 * Bindings: qkv, rows, output, keys, values. `whole`: output [rows, heads · headDim], workgroups [kvHeads, rows]. `split`: output
 * [rows, heads, segments of the capacity, headDim + 4], workgroups [kvHeads, rows, segments].
 */
export function attentionShader(config: Heads, cache: CacheShape, form: 'whole' | 'split'): Shader {
  const { heads, kvHeads, headDim } = config;
  const share = heads / kvHeads;
  const units = headDim / 4;
  const width = (heads + 2 * kvHeads) * units;
  const positions = Math.floor(threads / units);
  const segments = Math.ceil(cache.capacity / segmentPositions);
  const each = (line: (head: number) => string) => Array.from({ length: share }, (_, head) => line(head)).join('\n');
  const code = `
@group(0) @binding(0) var<storage, read> queries : array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> rows : array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> output : array<vec4<f32>>;
${cacheDeclarations(cache, 'read', 3)}
var<workgroup> query : array<vec4<f32>, ${share * units}>;
var<workgroup> scores : array<f32, ${share * segmentPositions}>;
var<workgroup> shared4 : array<vec4<f32>, ${threads}>;
var<workgroup> reduced : array<f32, ${share * threads}>;
var<workgroup> place : vec2<u32>;
@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(local_invocation_index) t : u32) {
  if (t == 0u) { place = rows[id.y]; }
  let row = workgroupUniformLoad(&place);
  let count = select(row.y + 1u, 0u, row.y == ${idle}u);
  let block = row.x * ${kvHeads}u + id.x;
  for (var i = t; i < ${share * units}u; i += ${threads}u) { query[i] = queries[id.y * ${width}u + id.x * ${share * units}u + i]; }
  let unit = t % ${units}u;
  let lane = t / ${units}u;
  ${each((h) => `var top${h} = ${least}; var total${h} = 0.0; var sum${h} = vec4<f32>();`)}
  let firstSegment = ${form === 'split' ? 'id.z' : '0u'};
  let lastSegment = ${form === 'split' ? 'id.z + 1u' : `${segments}u`};
  for (var segment = firstSegment; segment < lastSegment && segment * ${segmentPositions}u < count; segment++) {
    let start = segment * ${segmentPositions}u;
    let here = min(count - start, ${segmentPositions}u);
    workgroupBarrier();
    ${each((h) => `var high${h} = ${least};`)}
    for (var p = t; p < here; p += ${threads}u) {
      ${each((h) => `var s${h} = 0.0;`)}
      for (var u = 0u; u < ${units}u; u++) {
        let k = keyAt(block, u, start + p);
        ${each((h) => `s${h} += dot(query[${h * units}u + u], k);`)}
      }
      ${each((h) => `scores[${h * segmentPositions}u + p] = s${h}; high${h} = max(high${h}, s${h});`)}
    }
    ${each((h) => `reduced[${h * threads}u + t] = high${h};`)}
    ${tree('max', share)}
    ${each((h) => `let next${h} = max(top${h}, reduced[${h * threads}]); let fade${h} = exp(top${h} - next${h}); top${h} = next${h};`)}
    workgroupBarrier();
    ${each((h) => `var part${h} = 0.0;`)}
    for (var p = t; p < here; p += ${threads}u) {
      ${each((h) => `let e${h} = exp(scores[${h * segmentPositions}u + p] - top${h}); scores[${h * segmentPositions}u + p] = e${h}; part${h} += e${h};`)}
    }
    ${each((h) => `reduced[${h * threads}u + t] = part${h};`)}
    ${tree('sum', share)}
    ${each((h) => `total${h} = total${h} * fade${h} + reduced[${h * threads}]; sum${h} *= fade${h};`)}
    if (lane < ${positions}u) {
      for (var p = lane; p < here; p += ${positions}u) {
        let v = valueAt(block, unit, start + p);
        ${each((h) => `sum${h} += scores[${h * segmentPositions}u + p] * v;`)}
      }
    }
  }
  ${each(
    (h) => `${combine(h, units, positions)}
  if (t < ${units}u) { ${store(form, h, { heads, share, units, segments })} }`,
  )}
}`;
  return { name: `decode-attention ${form} ${heads}/${kvHeads} × ${headDim} of ${cache.capacity} ${cache.keys} ${cache.values}`, code };
}

/** Reduces `reduced` of every head over the threads. */
function tree(kind: 'max' | 'sum', share: number): string {
  const lines = Array.from({ length: share }, (_, h) => {
    const [a, b] = [`reduced[${h * threads}u + t]`, `reduced[${h * threads}u + t + stride]`];
    return `${a} = ${kind === 'max' ? `max(${a}, ${b})` : `${a} + ${b}`};`;
  });
  return `workgroupBarrier();
    for (var stride = ${threads / 2}u; stride > 0u; stride = stride >> 1u) {
      if (t < stride) { ${lines.join(' ')} }
      workgroupBarrier();
    }`;
}

/** Adds up what the threads of one unit hold of a head; thread t < units then has \`whole\`. */
function combine(head: number, units: number, positions: number): string {
  return `
  workgroupBarrier();
  shared4[t] = sum${head};
  workgroupBarrier();
  var whole${head} = vec4<f32>();
  if (t < ${units}u) { for (var i = 0u; i < ${positions}u; i++) { whole${head} += shared4[i * ${units}u + t]; } }`;
}

function store(form: 'whole' | 'split', head: number, sizes: { heads: number; share: number; units: number; segments: number }): string {
  const { heads, share, units, segments } = sizes;
  const headNumber = `id.y * ${heads}u + id.x * ${share}u + ${head}u`;
  if (form === 'whole') return `output[(${headNumber}) * ${units}u + t] = whole${head} / max(total${head}, 1e-30);`;
  const at = `((${headNumber}) * ${segments}u + id.z) * ${units + 1}u`;
  return `output[${at} + t] = whole${head};
    if (t == 0u) { output[${at} + ${units}u] = vec4<f32>(top${head}, total${head}, 0.0, 0.0); }`;
}

/** Merges the segments of each head. Bindings: partial outcomes, rows, output [rows, heads · headDim]. Workgroups: [heads, rows]. */
export function mergeShader(config: Heads, capacity: number): Shader {
  const { heads, headDim } = config;
  const units = headDim / 4;
  const segments = Math.ceil(capacity / segmentPositions);
  const code = `
@group(0) @binding(0) var<storage, read> partial : array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> rows : array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> output : array<vec4<f32>>;
@compute @workgroup_size(32) fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(local_invocation_index) t : u32) {
  let position = rows[id.y].y;
  let segments = select(position / ${segmentPositions}u + 1u, 0u, position == ${idle}u);
  let head = id.y * ${heads}u + id.x;
  for (var unit = t; unit < ${units}u; unit += 32u) {
    var top = ${least};
    var total = 0.0;
    var sum = vec4<f32>();
    for (var segment = 0u; segment < segments; segment++) {
      let at = (head * ${segments}u + segment) * ${units + 1}u;
      let next = partial[at + ${units}u].xy;
      let high = max(top, next.x);
      let fade = exp(top - high);
      let gain = exp(next.x - high);
      total = total * fade + next.y * gain;
      sum = sum * fade + partial[at + unit] * gain;
      top = high;
    }
    output[head * ${units}u + unit] = sum / max(total, 1e-30);
  }
}`;
  return { name: `decode-merge ${heads} × ${headDim} of ${capacity}`, code };
}
