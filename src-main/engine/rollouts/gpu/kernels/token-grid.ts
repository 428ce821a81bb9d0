/** The arithmetic of token quantizers, as ops/quantize-tokens has it, and the kernel that quantizes the rows that a product reads. */
import { quotient } from '../../../ops/quantize-rows.ts';
import type { TokenQuantizer } from '../../../ops/quantize-tokens/index.ts';
import { quantizerFloats } from '../../../ops/quantize-tokens/quantizer-words.ts';
import type { Shader } from '../program.ts';

/** Eight floats of each quantizer, zeros for none. WGSL has no infinity, so a number above all others stands for no threshold. */
export function quantizerWordsOf(quantizers: readonly (TokenQuantizer | null)[]): Float32Array {
  const words = new Float32Array(8 * quantizers.length);
  for (const [place, quantizer] of quantizers.entries()) {
    if (quantizer)
      words.set(
        quantizerFloats(quantizer).map((value) => Math.min(value, 3e38)),
        8 * place,
      );
  }
  return words;
}

/**
 * `setQuantizer(its words)`, `rangeOf(value)` to be reduced by `max` over the row, `setGrid(range)`; then `codeOf(value)` and
 * `quantized(value)`, which leaves outliers, infinities and NaN as they are.
 */
export const tokenGrid = `${quotient}
var<private> divisor : f32;
var<private> lowest : f32;
var<private> highest : f32;
var<private> clips : vec2<f32>;
var<private> threshold : f32;
var<private> isSymmetric : bool;
var<private> scale : f32;
var<private> zero : f32;
fn setQuantizer(a : vec4<f32>, b : vec4<f32>) {
  divisor = a.x;
  lowest = a.y;
  highest = a.z;
  clips = vec2<f32>(a.w, b.x);
  threshold = b.y;
  isSymmetric = b.z != 0.0;
}
fn isFinite(v : f32) -> bool { return (bitcast<u32>(v) & 0x7f800000u) != 0x7f800000u; }
fn isKept(v : f32) -> bool { return isFinite(v) && abs(v) < threshold; }
fn rangeOf(v : f32) -> vec2<f32> { return select(vec2<f32>(), max(vec2<f32>(), vec2<f32>(v, -v)), isKept(v)); }
fn setGrid(range : vec2<f32>) {
  let ends = range * clips;
  let width = quotient(select(ends.x + ends.y, max(ends.x, ends.y), isSymmetric), divisor);
  scale = select(1.0, width, width > 0.0);
  zero = select(round(quotient(ends.y, scale)), 0.0, isSymmetric);
}
fn codeOf(v : f32) -> f32 { return clamp(round(quotient(v, scale)) + zero, lowest, highest); }
fn quantized(v : f32) -> f32 { return select(v, (codeOf(v) - zero) * scale, isKept(v)); }
`;

const threads = 128;

/** Rows of x [rows, size] to their nearest levels, in place. One workgroup per row. Bindings: x, quantizer (uniform). */
export function quantizeShader(size: number): Shader {
  const code = `
@group(0) @binding(0) var<storage, read_write> x : array<f32>;
@group(0) @binding(1) var<uniform> quantizer : array<vec4<f32>, 2>;
${tokenGrid}
var<workgroup> ranges : array<vec2<f32>, ${threads}>;
@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(local_invocation_index) t : u32) {
  setQuantizer(quantizer[0], quantizer[1]);
  let origin = id.x * ${size}u;
  var range = vec2<f32>();
  for (var j = t; j < ${size}u; j += ${threads}u) { range = max(range, rangeOf(x[origin + j])); }
  ranges[t] = range;
  workgroupBarrier();
  for (var stride = ${threads / 2}u; stride > 0u; stride = stride >> 1u) {
    if (t < stride) { ranges[t] = max(ranges[t], ranges[t + stride]); }
    workgroupBarrier();
  }
  setGrid(ranges[0]);
  for (var j = t; j < ${size}u; j += ${threads}u) { x[origin + j] = quantized(x[origin + j]); }
}`;
  return { name: `decode-quantize ${size}`, code };
}
