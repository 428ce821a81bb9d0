/** Kernels that bring the tensor library's weights into the forms of the decode engine, recorded in the order of the library's own commands. */
import type * as tf from '@tensorflow/tfjs-core';
import { dispatch, groupNumber, rowWindows } from '../../backends/webgpu/compute.ts';
import { gpu } from '../../backends/webgpu/device.ts';

const threads = 256;

/** `statement` runs once for each `place` below `parameters.count`. */
const elementwise = (statement: string) => `${groupNumber}
@compute @workgroup_size(${threads}) fn main(
  @builtin(workgroup_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>, @builtin(local_invocation_index) t : u32
) {
  let place = groupNumber(id, groups) * ${threads}u + t;
  if (place < parameters.count) { ${statement} }
}`;

/** Words of the source per word written, and how they become one. */
const conversions = {
  copy: { words: 1, code: 'source[place]' },
  bfloat16: { words: 2, code: '(source[2u * place] >> 16u) | (source[2u * place + 1u] & 0xffff0000u)' },
  float16: { words: 2, code: 'pack2x16float(vec2<f32>(bitcast<f32>(source[2u * place]), bitcast<f32>(source[2u * place + 1u])))' },
} as const;
export type Conversion = keyof typeof conversions;

export interface RowCopy {
  rows: number;
  /** Words per row of the source. */
  words: number;
  /** Row of the target that the first one goes to. */
  first: number;
}

/** Rows of a tensor of 32-bit words, as they are or as pairs of halves (cut off to bfloat16), into a buffer. */
export function convertRows(conversion: Conversion, from: tf.Tensor, to: GPUBuffer, { rows, words, first }: RowCopy): void {
  const { words: ratio, code } = conversions[conversion];
  for (const window of rowWindows(rows, 4 * words)) {
    const count = (window.rows * words) / ratio;
    const offset = (4 * (first + window.first) * words) / ratio;
    // A binding begins where the device lets it.
    const start = Math.floor(offset / 256) * 256;
    dispatch({
      name: `decode-convert-${conversion}`,
      reads: { source: { of: from, as: 'u32', offset: 4 * window.first * words, size: 4 * window.rows * words } },
      writes: { to: { of: to, as: 'u32', offset: start, size: 4 * count + offset - start } },
      integers: { count, shift: (offset - start) / 4 },
      workgroups: Math.ceil(count / threads),
      code: () => elementwise(`to[place + parameters.shift] = ${code};`),
    });
  }
}

/** A whole tensor of 32-bit words into a buffer. */
export function copyTensor(from: tf.Tensor, to: GPUBuffer, first = 0): void {
  convertRows('copy', from, to, { rows: from.size, words: 1, first });
}

/** Zero points of a bit stream as floats, from place `first` of the buffer on. */
export function expandZeros(stream: tf.Tensor, bits: number, count: number, to: GPUBuffer, first: number): void {
  dispatch({
    name: `decode-zeros-${bits}`,
    reads: { source: { of: stream, as: 'u32' } },
    writes: { to },
    integers: { count, first },
    workgroups: Math.ceil(count / threads),
    code: () =>
      elementwise(`
    let bit = place * ${bits}u;
    var code = source[bit / 32u] >> (bit % 32u);
    if (bit % 32u + ${bits}u > 32u) { code |= source[bit / 32u + 1u] << (32u - bit % 32u); }
    to[parameters.first + place] = f32(code & ${2 ** bits - 1}u);`),
  });
}

/**
 * Bits of a stack's flags: some value is not exactly a bfloat16; not exactly a normal binary16 (GPUs may flush others to 0);
 * beyond binary16's range.
 */
export const lossOf = { bfloat16: 1, float16: 2, range: 4 } as const;

/** Sets the flags of what half precision would lose of a tensor's values. */
export function flagLosses(values: tf.Tensor, flags: GPUBuffer, place: number): void {
  const perThread = 64;
  for (const window of rowWindows(values.size, 4)) {
    dispatch({
      name: 'decode-losses',
      reads: { source: { of: values, as: 'u32', offset: 4 * window.first, size: 4 * window.rows } },
      writes: { flags: { of: flags, as: 'atomic<u32>' } },
      integers: { count: Math.ceil(window.rows / perThread), size: window.rows, flag: place },
      workgroups: Math.ceil(window.rows / perThread / threads),
      code: () =>
        elementwise(`
    var losses = 0u;
    for (var i = place; i < parameters.size; i += parameters.count) {
      let bits = source[i];
      if ((bits & 0xffffu) != 0u) { losses |= ${lossOf.bfloat16}u; }
      let exponent = (bits >> 23u) & 255u;
      if (exponent > 142u) { losses |= ${lossOf.range}u; }
      let isNormal = exponent >= 113u && exponent <= 142u && (bits & 0x1fffu) == 0u;
      if (!isNormal && (bits << 1u) != 0u) { losses |= ${lossOf.float16}u; }
    }
    if (losses != 0u) { atomicOr(&flags[parameters.flag], losses); }`),
    });
  }
}

/** The words of a buffer, once everything recorded and submitted before is done. */
export async function readWords(buffer: GPUBuffer): Promise<Uint32Array> {
  const { device, health } = gpu();
  const reading = device.createBuffer({ size: buffer.size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, reading, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  try {
    await health.wait(reading.mapAsync(GPUMapMode.READ));
    return new Uint32Array(reading.getMappedRange().slice(0));
  } finally {
    reading.destroy();
  }
}
