/**
 * What the device can do at best, measured: bytes per second through its memory, and multiplications with additions per second in its
 * registers. Figures of a run are given as shares of these, never of a data sheet.
 */
import * as tf from '@tensorflow/tfjs-core';
import { dispatch, flush } from '../backends/webgpu/compute.ts';
import { gpu } from '../backends/webgpu/device.ts';

export interface Peaks {
  /** Reading one large buffer. */
  readBytesPerSecond: number;
  /** Bytes read and written while copying one. */
  copyBytesPerSecond: number;
  /** Of float32 in registers; null where nothing but a matrix product can tell. */
  flopsPerSecond: number | null;
}

export interface PeakOptions {
  /** Of the buffer; a multiple of 1 MiB. */
  bytes: number;
  /** Each is timed; the fastest counts. */
  repeats: number;
}

/** On the active backend: the GPU of `webgpu`, else the processor's memory. */
export async function measurePeaks(options: PeakOptions): Promise<Peaks> {
  return tf.getBackend() === 'webgpu' ? measureGpu(options) : measureProcessor(options);
}

const threads = 256;
const vectorsPerThread = 16;

async function measureGpu({ bytes, repeats }: PeakOptions): Promise<Peaks> {
  const { device } = gpu();
  const most = Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize);
  const size = Math.min(bytes, Math.floor(most / 2 ** 20) * 2 ** 20);
  const make = (length: number) => device.createBuffer({ size: length, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST });
  const workgroups = Math.ceil(size / 16 / (threads * vectorsPerThread));
  const [source, copied, sums] = [make(size), make(size), make(4 * workgroups)];
  const flopGroups = 4096;
  const results = make(16 * flopGroups);
  try {
    const integers = { vectors: size / 16 };
    const read = await fastest(repeats, () =>
      dispatch({
        ...{ name: 'peak-read', reads: { source: { of: source, as: 'vec4<f32>' } }, writes: { sums } },
        integers,
        code: readCode,
        workgroups,
      }),
    );
    const copy = await fastest(repeats, () =>
      dispatch({
        ...{ name: 'peak-copy', reads: { source: { of: source, as: 'vec4<f32>' } }, writes: { copied: { of: copied, as: 'vec4<f32>' } } },
        ...{ integers, code: copyCode, workgroups },
      }),
    );
    const rounds = gpu().software ? 16 : 1024;
    const compute = await fastest(repeats, () =>
      dispatch({
        ...{ name: 'peak-flops', reads: {}, writes: { results: { of: results, as: 'vec4<f32>' } } },
        ...{ integers: { rounds }, floats: { factor: 0.999 }, code: flopsCode, workgroups: flopGroups },
      }),
    );
    return {
      readBytesPerSecond: size / read,
      copyBytesPerSecond: (2 * size) / copy,
      flopsPerSecond: (flopGroups * threads * rounds * flopsPerRound) / compute,
    };
  } finally {
    for (const buffer of [source, copied, sums, results]) buffer.destroy();
  }
}

/** Seconds of the fastest of `repeats` batches of 4 dispatches, divided by 4; one batch before them compiles. */
async function fastest(repeats: number, record: () => void): Promise<number> {
  const { device, health } = gpu();
  const batch = 4;
  let seconds = Number.POSITIVE_INFINITY;
  for (let repeat = 0; repeat <= repeats; repeat++) {
    const start = performance.now();
    for (let i = 0; i < batch; i++) record();
    flush();
    await health.wait(device.queue.onSubmittedWorkDone());
    if (repeat > 0) seconds = Math.min(seconds, (performance.now() - start) / 1000 / batch);
  }
  return seconds;
}

const place = `
  let group = id.y * count.x + id.x;
  let first = group * ${threads * vectorsPerThread}u + lane;`;
const entry = `@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(num_workgroups) count : vec3<u32>, @builtin(local_invocation_index) lane : u32) {`;

/** The sum is written only where it is a value that zeros never give, so that the reads cannot be left out. */
const readCode = () => `${entry}${place}
  var sum = vec4<f32>();
  for (var i = 0u; i < ${vectorsPerThread}u; i++) {
    let at = first + i * ${threads}u;
    if (at < parameters.vectors) { sum += source[at]; }
  }
  if (sum.x + sum.y + sum.z + sum.w == 12345.0) { sums[group] = sum.x; }
}`;

const copyCode = () => `${entry}${place}
  for (var i = 0u; i < ${vectorsPerThread}u; i++) {
    let at = first + i * ${threads}u;
    if (at < parameters.vectors) { copied[at] = source[at]; }
  }
}`;

const chains = 8;
const flopsPerRound = chains * 4 * 2;
const flopsCode = () => `${entry}
  var a = array<vec4<f32>, ${chains}>();
  for (var c = 0u; c < ${chains}u; c++) { a[c] = vec4<f32>(f32(lane + c)); }
  let factor = vec4<f32>(parameters.factor);
  for (var round = 0u; round < parameters.rounds; round++) {
    ${Array.from({ length: chains }, (_, c) => `a[${c}] = fma(a[${c}], factor, factor);`).join('\n    ')}
  }
  let sum = ${Array.from({ length: chains }, (_, c) => `a[${c}]`).join(' + ')};
  if (sum.x == 12345.0) { results[id.y * count.x + id.x] = sum; }
}`;

function measureProcessor({ bytes, repeats }: PeakOptions): Peaks {
  const source = new Float64Array(bytes / 8).fill(1);
  const target = new Float64Array(bytes / 8);
  let [copy, read] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let repeat = 0; repeat <= repeats; repeat++) {
    const start = performance.now();
    target.set(source);
    const middle = performance.now();
    if (target.indexOf(repeat + 2) >= 0) throw new Error('the copy holds ones alone');
    const end = performance.now();
    if (repeat === 0) continue;
    copy = Math.min(copy, (middle - start) / 1000);
    read = Math.min(read, (end - middle) / 1000);
  }
  return { readBytesPerSecond: bytes / read, copyBytesPerSecond: (2 * bytes) / copy, flopsPerSecond: null };
}
