/**
 * Quantizing the rows (or groups) of matrices on the webgpu backend: some invocations of a workgroup share each row and reduce over it.
 * Weights larger than one binding are gone through in windows of rows, and quotients are rounded correctly, so that codes are those of other
 * backends.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { dispatch, groupNumber, type KernelDispatch, rowWindows } from '../backends/webgpu/compute.ts';
import { sizeOf } from './kernel.ts';

const groupSize = 256;

export interface RowKernel {
  /** Names `body`; the number of invocations per row is added to it. */
  name: string;
  rows: number;
  /** Values per row. */
  size: number;
  /** Tensors of rows · size values, read as `name[start + j]`. */
  reads: Record<string, tf.TensorInfo>;
  writes: Record<string, tf.TensorInfo>;
  /** Tensors of a few values for each row, read as `name[item]` where there is one. */
  rowReads?: Record<string, tf.TensorInfo>;
  rowWrites?: Record<string, tf.TensorInfo>;
  integers?: Record<string, number>;
  floats?: Record<string, number>;
  /**
   * Statements that all invocations of a workgroup run. `item` is the row; the invocation takes the values at `start + j` for j from `lane` in
   * steps of `lanes` below `end`, and writes what belongs to the row where `isFirst`. `sumOverRow(value)` and `maxOverRow(value)` reduce.
   */
  body: string;
  /** WGSL functions that it calls. */
  library?: string;
}

/** Rows of the last axis: how many, and values in each. */
export function rowsOf(x: tf.TensorInfo): [rows: number, size: number] {
  const size = x.shape.at(-1)!;
  return [sizeOf(x) / size, size];
}

export function dispatchRows(kernel: RowKernel): void {
  const { name, rows, size, reads, writes, rowReads, rowWrites, integers, floats, body, library = '' } = kernel;
  const lanes = lanesFor(size);
  for (const window of rowWindows(rows, 4 * size)) {
    const part = (of: tf.TensorInfo) => ({ of, offset: 4 * size * window.first, size: 4 * size * window.rows });
    const windowed = (tensors: Record<string, tf.TensorInfo>): KernelDispatch['reads'] =>
      Object.fromEntries(Object.entries(tensors).map(([key, tensor]) => [key, part(tensor)]));
    dispatch({
      name: `${name}-${lanes}`,
      reads: { ...windowed(reads), ...rowReads },
      writes: { ...windowed(writes), ...rowWrites },
      integers: { first: window.first, rows: window.rows, size, ...integers },
      floats: floats ?? {},
      workgroups: Math.ceil((window.rows * lanes) / groupSize),
      code: () => rowCode(lanes, library, body),
    });
  }
}

/** About eight values per invocation, with a whole workgroup for long rows. */
function lanesFor(size: number): number {
  return [8, 32, 128].find((lanes) => size <= 16 * lanes) ?? groupSize;
}

function rowCode(lanes: number, library: string, body: string): string {
  return `${groupNumber}${reductions}${quotient}${library}
    const lanes = ${lanes}u;
    @compute @workgroup_size(${groupSize}) fn main(
      @builtin(workgroup_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>, @builtin(local_invocation_index) index : u32
    ) {
      invocation = index;
      let lane = index % lanes;
      let place = groupNumber(id, groups) * ${groupSize / lanes}u + index / lanes;
      let row = min(place, parameters.rows - 1u);
      let item = parameters.first + row;
      let start = row * parameters.size;
      let end = select(0u, parameters.size, place < parameters.rows);
      let isFirst = lane == 0u && place < parameters.rows;
      ${body}
    }`;
}

/** Trees over the invocations of a row; every invocation of the workgroup takes part, and each gets its row's result. */
const reductions = `
var<private> invocation : u32;
var<workgroup> sums : array<vec4<f32>, ${groupSize}>;
var<workgroup> maxima : array<vec2<f32>, ${groupSize}>;
fn sumOverRow(value : vec4<f32>) -> vec4<f32> {
  sums[invocation] = value;
  workgroupBarrier();
  for (var stride = lanes / 2u; stride > 0u; stride = stride >> 1u) {
    if (invocation % lanes < stride) { sums[invocation] += sums[invocation + stride]; }
    workgroupBarrier();
  }
  let total = sums[invocation - invocation % lanes];
  workgroupBarrier();
  return total;
}
fn maxOverRow(value : vec2<f32>) -> vec2<f32> {
  maxima[invocation] = value;
  workgroupBarrier();
  for (var stride = lanes / 2u; stride > 0u; stride = stride >> 1u) {
    if (invocation % lanes < stride) { maxima[invocation] = max(maxima[invocation], maxima[invocation + stride]); }
    workgroupBarrier();
  }
  let largest = maxima[invocation - invocation % lanes];
  workgroupBarrier();
  return largest;
}
`;

/**
 * `quotient(a, b)`: a / b corrected by its remainder, because WGSL's own division may be off by 2.5 units in the last place, which moves codes
 * off the ones that other backends find. The remainder is exact whether or not products and sums are fused: halves of 12 bits are multiplied.
 */
export const quotient = `
fn upperHalf(value : f32) -> f32 { return bitcast<f32>(bitcast<u32>(value) & 0xfffff000u); }
fn quotient(a : f32, b : f32) -> f32 {
  let q = a / b;
  let qHigh = upperHalf(q);
  let bHigh = upperHalf(b);
  let qLow = q - qHigh;
  let bLow = b - bHigh;
  let rest = (((a - qHigh * bHigh) - qHigh * bLow) - qLow * bHigh) - qLow * bLow;
  return select(q, q + rest / b, abs(q) < 1e30);
}
`;
