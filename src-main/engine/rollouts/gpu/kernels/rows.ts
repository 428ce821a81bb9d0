/**
 * Embedding and RMSNorm of the rows of a step. A row is a token of a slot's sequence; the row table holds [slot, position] of each, `idle` as
 * the position of a row without a token.
 */
import type { ModelConfig } from '../../../model/config.ts';
import type { Shader } from '../program.ts';
import { type WeightFormat, weightReader } from './weight-format.ts';

/** The position of a row that has no token in this step. */
export const idle = 0xffffffff;

/** Finds a row's token in its slot's state, and writes the row table. */
const tokenOfSlot = `
  let slot = slots[row];
  let state = tokens[slot];
  let id = state.x;
  if (t == 0u) { rows[row] = vec2<u32>(slot, select(state.y, ${idle}u, state.z == 0u)); }
  if (t == 0u && row == 0u && window.x == 0u) { step[0] += 1u; }`;

/**
 * x [rows, hidden] = table [ids]. One workgroup per row. Tokens are those of a prompt, or (`state`) those of the slots, which also advances the
 * step. Bindings: x, tokens or states, window (first id, number of ids) of the table, [row table, slots of the rows, step,] table.
 */
export function embedShader({ hiddenSize }: ModelConfig, format: WeightFormat, rowsFrom: 'prompt' | 'state'): Shader {
  const units = hiddenSize / 4;
  const fromState = rowsFrom === 'state';
  const stateBindings = `
@group(0) @binding(3) var<storage, read_write> rows : array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> slots : array<u32>;
@group(0) @binding(5) var<storage, read_write> step : array<u32>;`;
  const code = `
@group(0) @binding(0) var<storage, read_write> x : array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> tokens : array<${fromState ? 'vec4<u32>' : 'u32'}>;
@group(0) @binding(2) var<uniform> window : vec4<u32>;
${fromState ? stateBindings : ''}
${weightReader(format, hiddenSize, fromState ? 6 : 3)}
@compute @workgroup_size(64) fn main(@builtin(workgroup_id) group : vec3<u32>, @builtin(local_invocation_index) t : u32) {
  let row = group.x;
  ${fromState ? tokenOfSlot : 'let id = tokens[row];'}
  if (id < window.x || id >= window.x + window.y) { return; }
  for (var unit = t; unit < ${units}u; unit += 64u) { x[row * ${units}u + unit] = weight4(id - window.x, unit); }
}`;
  return { name: `decode-embed ${rowsFrom} ${format.kind} ${hiddenSize}`, code };
}

/** y [rows, size] = RMSNorm(x) · weight. One workgroup per row of y; with `selected`, row r of y is of row selected[r] of x. */
export function normShader(size: number, epsilon: number, selected: boolean): Shader {
  const units = size / 4;
  const code = `
@group(0) @binding(0) var<storage, read> x : array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight : array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y : array<vec4<f32>>;
${selected ? '@group(0) @binding(3) var<storage, read> selected : array<u32>;' : ''}
var<workgroup> sums : array<f32, 64>;
@compute @workgroup_size(64) fn main(@builtin(workgroup_id) group : vec3<u32>, @builtin(local_invocation_index) t : u32) {
  let origin = ${selected ? 'selected[group.x]' : 'group.x'} * ${units}u;
  var sum = 0.0;
  for (var unit = t; unit < ${units}u; unit += 64u) { let v = x[origin + unit]; sum += dot(v, v); }
  sums[t] = sum;
  workgroupBarrier();
  for (var stride = 32u; stride > 0u; stride = stride >> 1u) {
    if (t < stride) { sums[t] += sums[t + stride]; }
    workgroupBarrier();
  }
  let factor = 1.0 / sqrt(sums[0] / ${size}.0 + ${epsilon});
  for (var unit = t; unit < ${units}u; unit += 64u) { y[group.x * ${units}u + unit] = x[origin + unit] * factor * weight[unit]; }
}`;
  return { name: `decode-norm${selected ? ' selected' : ''} ${size}`, code };
}
