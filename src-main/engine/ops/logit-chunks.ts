/**
 * Losses over the whole vocabulary on the webgpu backend, in chunks of rows: the logits of a chunk lie in scratch and become their own
 * gradient, out of which the gradients of the hidden states and of the output layer follow. Rows are cut into blocks of columns, so that few
 * rows keep a large GPU busy.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { gpu } from '../backends/webgpu/device.ts';
import { gemm } from '../backends/webgpu/gemm/index.ts';
import type { GpuCall } from './gpu-kernel.ts';

/** Columns of a block, and invocations that share it. */
const blockColumns = 8192;
const groupSize = 256;

/** Bits of a NaN, for a shader to give where an id is outside the vocabulary: WGSL has no constant for it. */
export const nan = 0x7fc00000;

export interface Chunk {
  /** Scratch [chunk rows, vocab], of which the first `rows` are used. */
  logits: tf.TensorInfo;
  /** First row of the chunk, and rows. */
  start: number;
  rows: number;
}

export interface Layer {
  /** [rows, size] */
  hidden: tf.TensorInfo;
  /** [vocab, size] */
  head: tf.TensorInfo;
}

/** Rows of a chunk: as many as wanted, but what a binding holds at most. @throws RoundoffError `unsupported` when not one fits */
export function chunkRowsFor(rows: number, vocab: number, wanted: number): number {
  const held = Math.floor(gpu().device.limits.maxStorageBufferBindingSize / (4 * vocab));
  if (held > 0) return Math.min(rows, wanted, held);
  throw new RoundoffError(
    'unsupported',
    `The GPU ${gpu().name} cannot bind a row of ${vocab} logits.`,
    'Choose the wasm backend, or a model with a smaller vocabulary.',
  );
}

export function computeLogits({ hidden, head }: Layer, { logits, start, rows }: Chunk): void {
  const [vocab, size] = head.shape as [number, number];
  gemm({ a: hidden, b: head, c: logits, first: { a: start * size }, m: rows, n: vocab, k: size, transB: true });
}

/** From a chunk's logits that have become their gradient: its rows of dHidden, and its part of dHead where it is wanted, which the first chunk sets. */
export function addGradients(
  { hidden, head }: Layer,
  { logits, start, rows }: Chunk,
  { dHidden, dHead }: { dHidden: tf.TensorInfo; dHead?: tf.TensorInfo },
): void {
  const [vocab, size] = head.shape as [number, number];
  const first = start * size;
  gemm({ a: logits, b: head, c: dHidden, first: { c: first }, m: rows, n: size, k: vocab });
  if (dHead) gemm({ a: logits, b: hidden, c: dHead, first: { b: first }, m: vocab, n: size, k: rows, transA: true, accumulate: start > 0 });
}

/** WGSL of a kernel with a workgroup for each block of columns (x) of each row (y); `j` goes from `begin` to `end` in steps of `groupSize`. */
export function blockCode(body: string, declarations = ''): string {
  return `${declarations}
    const groupSize = ${groupSize}u;
    var<workgroup> partial : array<vec2<f32>, ${groupSize}>;
    fn sumOverGroup(lane : u32, value : vec2<f32>) -> vec2<f32> {
      partial[lane] = value;
      workgroupBarrier();
      for (var stride = groupSize / 2u; stride > 0u; stride = stride >> 1u) {
        if (lane < stride) { partial[lane] += partial[lane + stride]; }
        workgroupBarrier();
      }
      return partial[0];
    }
    fn maxOverGroup(lane : u32, value : f32) -> f32 {
      partial[lane].x = value;
      workgroupBarrier();
      for (var stride = groupSize / 2u; stride > 0u; stride = stride >> 1u) {
        if (lane < stride) { partial[lane].x = max(partial[lane].x, partial[lane + stride].x); }
        workgroupBarrier();
      }
      let largest = partial[0].x;
      workgroupBarrier();
      return largest;
    }
    @compute @workgroup_size(${groupSize}) fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(local_invocation_index) lane : u32) {
      let row = id.y;
      let start = row * parameters.vocab;
      let begin = start + id.x * ${blockColumns}u + lane;
      let end = start + min((id.x + 1u) * ${blockColumns}u, parameters.vocab);
      ${body}
    }`;
}

export function blocksOf(vocab: number): number {
  return Math.ceil(vocab / blockColumns);
}

/** WGSL of a kernel with an invocation per row of the chunk: `row` in the chunk, `item` among all. */
export function rowCode(body: string, declarations = ''): string {
  return `${declarations}
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id : vec3<u32>) {
      let row = id.x;
      if (row >= parameters.rows) { return; }
      let item = parameters.start + row;
      ${body}
    }`;
}

export function rowGroups(rows: number): [number, number, number] {
  return [Math.ceil(rows / 64), 1, 1];
}

/** WGSL `excess(d)`: eᵈ − 1 − d; by its series near 0, where the difference would cancel. */
export const excess = `
    fn excess(d : f32) -> f32 {
      let series = ((((d / 5040.0 + 1.0 / 720.0) * d + 1.0 / 120.0) * d + 1.0 / 24.0) * d + 1.0 / 6.0) * d + 0.5;
      return select(exp(d) - 1.0 - d, d * d * series, abs(d) <= 0.25);
    }`;

/**
 * Writes into `stats` [rows, 4] of each row M = max z, Σ e and Σ e·u, with u = (z − M) / temperature and e = exp u, and log Σ e.
 * @param inverseTemperature logits are multiplied by it first
 */
export function softmaxStatistics(
  { dispatch, scratch }: GpuCall,
  { logits, rows }: Pick<Chunk, 'logits' | 'rows'>,
  stats: tf.TensorInfo,
  inverseTemperature: number,
): void {
  const vocab = logits.shape[1]!;
  const blocks = blocksOf(vocab);
  const parts = scratch([rows, blocks, 4]);
  dispatch({
    name: 'softmax-blocks',
    reads: { logits },
    writes: { parts: { of: parts, as: 'vec4<f32>' } },
    integers: { vocab, blocks },
    floats: { inverseTemperature },
    workgroups: [blocks, rows, 1],
    code: () =>
      blockCode(`
      var largest = logits[start + id.x * ${blockColumns}u];
      for (var j = begin; j < end; j += groupSize) { largest = max(largest, logits[j]); }
      largest = maxOverGroup(lane, largest);
      var sums = vec2(0.0);
      for (var j = begin; j < end; j += groupSize) {
        let u = (logits[j] - largest) * parameters.inverseTemperature;
        let e = exp(u);
        sums += vec2(e, e * u);
      }
      sums = sumOverGroup(lane, sums);
      if (lane == 0u) { parts[row * parameters.blocks + id.x] = vec4(largest, sums, 0.0); }`),
  });
  dispatch({
    name: 'softmax-rows',
    reads: { parts: { of: parts, as: 'vec4<f32>' } },
    writes: { stats: { of: stats, as: 'vec4<f32>' } },
    integers: { rows, start: 0, blocks },
    floats: { inverseTemperature },
    workgroups: rowGroups(rows),
    code: () =>
      rowCode(`
      let first = row * parameters.blocks;
      var largest = parts[first].x;
      for (var block = 1u; block < parameters.blocks; block++) { largest = max(largest, parts[first + block].x); }
      var sums = vec2(0.0);
      for (var block = 0u; block < parameters.blocks; block++) {
        let part = parts[first + block];
        let shift = (part.x - largest) * parameters.inverseTemperature;
        sums += exp(shift) * vec2(part.y, part.z + part.y * shift);
      }
      stats[item] = vec4(largest, sums, log(sums.x));`),
  });
}

/**
 * Logits become spread · exp((z − M) / temperature), and `push` more in the target's column, with `stats` holding M, spread, push and that
 * column as a number (−1 for none) per row. Rows without both are 0.
 */
export function softmaxGradient({ dispatch }: GpuCall, { logits, rows }: Chunk, stats: tf.TensorInfo, inverseTemperature: number): void {
  const vocab = logits.shape[1]!;
  dispatch({
    name: 'softmax-gradient',
    reads: { stats: { of: stats, as: 'vec4<f32>' } },
    writes: { logits },
    integers: { vocab },
    floats: { inverseTemperature },
    workgroups: [blocksOf(vocab), rows, 1],
    code: () =>
      blockCode(`
      let known = stats[row];
      let isLeftOut = known.y == 0.0 && known.z == 0.0;
      for (var j = begin; j < end; j += groupSize) {
        let value = known.y * exp((logits[j] - known.x) * parameters.inverseTemperature);
        let extra = select(0.0, known.z, f32(j - start) == known.w);
        logits[j] = select(value + extra, 0.0, isLeftOut);
      }`),
  });
}

/** The sum of the losses of all rows, into a scalar. */
export function sumLosses({ dispatch }: GpuCall, losses: tf.TensorInfo, loss: tf.TensorInfo): void {
  dispatch({
    name: 'sum-losses',
    reads: { losses },
    writes: { loss },
    integers: { count: losses.shape[0]! },
    workgroups: 1,
    code: () => `
      var<workgroup> partial : array<f32, ${groupSize}>;
      @compute @workgroup_size(${groupSize}) fn main(@builtin(local_invocation_index) lane : u32) {
        var sum = 0.0;
        for (var row = lane; row < parameters.count; row += ${groupSize}u) { sum += losses[row]; }
        partial[lane] = sum;
        workgroupBarrier();
        for (var stride = ${groupSize / 2}u; stride > 0u; stride = stride >> 1u) {
          if (lane < stride) { partial[lane] += partial[lane + stride]; }
          workgroupBarrier();
        }
        if (lane == 0u) { loss[0] = partial[0]; }
      }`,
  });
}
