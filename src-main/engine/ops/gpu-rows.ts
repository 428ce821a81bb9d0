/**
 * WGSL for kernels that reduce rows: a workgroup holds several rows side by side, a power of two of invocations to each, so that short rows do
 * not leave it idle. A row's values are held in registers as `perLane` vectors (or single values, where the row is no multiple of four).
 */
import { groupNumber } from '../backends/webgpu/compute.ts';

export const rowInvocations = 256;

export interface RowLayout {
  /** Names it, for the shader's name. */
  name: string;
  /** WGSL type of the elements: vec4<f32>, or f32. */
  element: string;
  /** Elements of a row. */
  elements: number;
  /** Invocations to a row. */
  lanes: number;
  /** Elements of each, the most. */
  perLane: number;
  /** Rows that a workgroup has side by side. */
  rowsAbreast: number;
}

export function rowLayout(size: number): RowLayout {
  const isVector = size % 4 === 0;
  const elements = isVector ? size / 4 : size;
  const lanes = elements <= 64 ? 16 : elements <= 512 ? 64 : rowInvocations;
  const perLane = 2 ** Math.ceil(Math.log2(Math.max(1, elements / lanes)));
  return {
    name: `${isVector ? 'vectors' : 'singles'}-${lanes}x${perLane}`,
    element: isVector ? 'vec4<f32>' : 'f32',
    elements,
    lanes,
    perLane,
    rowsAbreast: rowInvocations / lanes,
  };
}

/**
 * Declares `Element` and functions over a row's lanes, to be called by the whole workgroup: `sumOver`, `maxOver`, `minOver`. The entry point
 * has `group`, `rowLane`, the place within the row's lanes, and `abreast`, the number of the row among those side by side.
 */
export function rowShader({ element, lanes }: RowLayout, body: string, declarations = ''): string {
  const components = element === 'f32' ? ['v'] : ['v.x', 'v.y', 'v.z', 'v.w'];
  const fold = (join: (a: string, b: string) => string) => components.reduce(join);
  const over = (name: string, join: (a: string, b: string) => string) => `
fn ${name}(value : f32, lane : u32) -> f32 {
  exchange[lane] = value;
  workgroupBarrier();
  for (var stride = ${lanes / 2}u; stride > 0u; stride >>= 1u) {
    if (lane % ${lanes}u < stride) { exchange[lane] = ${join('exchange[lane]', 'exchange[lane + stride]')}; }
    workgroupBarrier();
  }
  let result = exchange[lane - lane % ${lanes}u];
  workgroupBarrier();
  return result;
}`;
  const [add, largest, smallest] = [
    (a: string, b: string) => `${a} + ${b}`,
    (a: string, b: string) => `max(${a}, ${b})`,
    (a: string, b: string) => `min(${a}, ${b})`,
  ];
  return `alias Element = ${element};
var<workgroup> exchange : array<f32, ${rowInvocations}>;
${groupNumber}
fn sumOf(v : Element) -> f32 { return ${fold(add)}; }
fn maxOf(v : Element) -> f32 { return ${fold(largest)}; }
fn minOf(v : Element) -> f32 { return ${fold(smallest)}; }
${over('sumOver', add)}${over('maxOver', largest)}${over('minOver', smallest)}
${declarations}
@compute @workgroup_size(${rowInvocations}) fn main(
  @builtin(workgroup_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>, @builtin(local_invocation_index) lane : u32
) {
  let group = groupNumber(id, groups);
  let rowLane = lane % ${lanes}u;
  let abreast = lane / ${lanes}u;
  ${body}
}`;
}
