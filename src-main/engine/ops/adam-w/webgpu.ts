/**
 * AdamW on the webgpu backend, in place. Parameters lie in buffers of their own, so a dispatch updates as many as the device binds at once: four
 * buffers each, three parameters where 16 storage buffers fit a shader (as on most GPUs). What changes from step to step is read from a small
 * tensor, so that bind groups are made once and used again.
 */
import * as tf from '@tensorflow/tfjs-core';
import { dispatch, groupNumber, rowWindows, type View } from '../../backends/webgpu/compute.ts';
import { gpu } from '../../backends/webgpu/device.ts';
import type { AdamWSettings, ParameterUpdate } from './index.ts';

const invocations = 256;

/** A part of a parameter that one binding holds, with the same parts of its gradient and moments. */
interface Segment {
  isVector: boolean;
  places: number;
  views: [parameter: View, gradient: View, mean: View, square: View];
}

/** All parameters with the same settings. Gradients must not share a buffer with what is updated. */
export function adamWOnGpu(
  updates: readonly ParameterUpdate[],
  settings: Required<Omit<AdamWSettings, 'gradientScale'>>,
  gradientScale?: tf.Scalar,
): void {
  const { learningRate, step, beta1, beta2, epsilon, weightDecay } = settings;
  const factors = tf.tensor1d([
    beta1,
    beta2,
    1 - beta1,
    1 - beta2,
    epsilon,
    learningRate / (1 - beta1 ** step),
    1 / (1 - beta2 ** step),
    1 - learningRate * weightDecay,
  ]);
  const scale = gradientScale ?? tf.scalar(1);
  const together = Math.floor((gpu().device.limits.maxStorageBuffersPerShaderStage - 2) / 4);
  const segments = updates.flatMap(segmentsOf);
  for (const isVector of [true, false]) {
    const alike = segments.filter((segment) => segment.isVector === isVector);
    for (let first = 0; first < alike.length; first += together) update(alike.slice(first, first + together), factors, scale);
  }
  factors.dispose();
  if (!gradientScale) scale.dispose();
}

function segmentsOf({ parameter, gradient, moments }: ParameterUpdate): Segment[] {
  const isVector = parameter.size % 4 === 0;
  return rowWindows(parameter.size, 4).map(({ first, rows }) => {
    const view = (of: tf.Tensor): View => ({ of, as: isVector ? 'vec4<f32>' : 'f32', offset: 4 * first, size: 4 * rows });
    return {
      isVector,
      places: isVector ? rows / 4 : rows,
      views: [view(parameter), view(gradient), view(moments.mean), view(moments.square)],
    };
  });
}

function update(segments: readonly Segment[], factors: tf.Tensor, scale: tf.Tensor): void {
  const element = segments[0]!.isVector ? 'vec4<f32>' : 'f32';
  // A segment begins with a workgroup of its own.
  const groups = segments.map(({ places }) => Math.ceil(places / invocations));
  dispatch({
    name: `adam-w-${element === 'f32' ? 1 : 4}x${segments.length}`,
    reads: { factors, scale, ...Object.fromEntries(segments.map(({ views }, i) => [`gradient${i}`, views[1]])) },
    writes: Object.fromEntries(
      segments.flatMap(({ views: [parameter, , mean, square] }, i) => [
        [`parameter${i}`, parameter],
        [`mean${i}`, mean],
        [`square${i}`, square],
      ]),
    ),
    integers: Object.fromEntries(
      segments.flatMap(({ places }, i) => [
        [`places${i}`, places],
        [`groups${i}`, groups[i]!],
      ]),
    ),
    workgroups: groups.reduce((sum, count) => sum + count, 0),
    code: () => shader(segments.length),
  });
}

function shader(count: number): string {
  const one = (i: number) => `
  if (group < parameters.groups${i}) {
    let i = group * ${invocations}u + lane;
    if (i >= parameters.places${i}) { return; }
    let g = gradient${i}[i] * scale[0];
    let m = factors[0] * mean${i}[i] + factors[2] * g;
    let v = factors[1] * square${i}[i] + factors[3] * g * g;
    mean${i}[i] = m;
    square${i}[i] = v;
    parameter${i}[i] = factors[7] * parameter${i}[i] - factors[5] * m / (sqrt(v * factors[6]) + factors[4]);
    return;
  }
  group -= parameters.groups${i};`;
  return `${groupNumber}
@compute @workgroup_size(${invocations}) fn main(
  @builtin(workgroup_id) id : vec3<u32>, @builtin(num_workgroups) counts : vec3<u32>, @builtin(local_invocation_index) lane : u32
) {
  var group = groupNumber(id, counts);
${Array.from({ length: count }, (_, i) => one(i)).join('')}
}`;
}
