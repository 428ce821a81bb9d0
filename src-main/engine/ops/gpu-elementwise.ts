/** GPU kernels that compute each value from values at the same place, four at a time where the count allows. */
import type * as tf from '@tensorflow/tfjs-core';
import { dispatch, groupNumber, rowWindows } from '../backends/webgpu/compute.ts';

export interface Elementwise {
  /** Names the code; its variant for single values is named apart. */
  name: string;
  /** float32 tensors of `count` values. */
  reads: Record<string, tf.TensorInfo>;
  writes: Record<string, tf.TensorInfo>;
  count: number;
  integers?: Record<string, number>;
  floats?: Record<string, number>;
  /** WGSL declarations; `Value` and `Whole` are f32 and u32, or vectors of four. */
  declarations?: string;
  /** WGSL statements for `place`, an index into the operands; `number` holds the number of each value there, counted from the first of all. */
  code: string;
}

const invocations = 256;

/** Runs the statements at every place, in as many dispatches as the device's binding limit needs: one up to 128 MiB on any device. */
export function elementwise({ name, reads, writes, count, integers, floats, declarations = '', code }: Elementwise): void {
  const width = count % 4 === 0 ? 4 : 1;
  const [value, whole, lanes] = width === 4 ? ['vec4<f32>', 'vec4<u32>', 'vec4<u32>(0u, 1u, 2u, 3u)'] : ['f32', 'u32', '0u'];
  for (const { first, rows } of rowWindows(count, 4)) {
    const view = (of: tf.TensorInfo) => ({ of, as: value, offset: 4 * first, size: 4 * rows });
    const views = (tensors: Record<string, tf.TensorInfo>) =>
      Object.fromEntries(Object.entries(tensors).map(([key, tensor]) => [key, view(tensor)]));
    const places = rows / width;
    dispatch({
      name: width === 4 ? name : `${name}-single`,
      reads: views(reads),
      writes: views(writes),
      integers: { places, firstNumber: first, ...integers },
      ...(floats ? { floats } : {}),
      workgroups: Math.ceil(places / invocations),
      code: () => `alias Value = ${value};
alias Whole = ${whole};
${groupNumber}${declarations}
@compute @workgroup_size(${invocations}) fn main(
  @builtin(workgroup_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>, @builtin(local_invocation_index) lane : u32
) {
  let place = groupNumber(id, groups) * ${invocations}u + lane;
  if (place >= parameters.places) { return; }
  let number = Whole(parameters.firstNumber + place * ${width}u) + ${lanes};
  ${code}
}`,
    });
  }
}
