/** Rotary embedding on the webgpu backend: an invocation per pair of components, or per four pairs. */
import type * as tf from '@tensorflow/tfjs-core';
import { groupNumber } from '../../backends/webgpu/compute.ts';
import { registerGpuKernel } from '../gpu-kernel.ts';
import { sizeOf } from '../kernel.ts';

const invocations = 256;

registerGpuKernel('RotaryEmbedding', ({ inputs, attributes, output, dispatch }) => {
  const { x, cos, sin } = inputs as Record<'x' | 'cos' | 'sin', tf.TensorInfo>;
  const { offset, direction } = attributes as { offset: number; direction: number };
  const [, seq, heads, headDim] = x.shape as [number, number, number, number];
  const y = output(x.shape);
  const width = headDim % 8 === 0 ? 4 : 1;
  const as = width === 4 ? 'vec4<f32>' : 'f32';
  const places = sizeOf(x) / (2 * width);
  dispatch({
    name: `rotary-embedding-${width}`,
    reads: { x: { of: x, as }, cosines: { of: cos, as }, sines: { of: sin, as } },
    writes: { y: { of: y, as } },
    integers: { places, seq, heads, half: headDim / (2 * width), offset },
    floats: { direction },
    workgroups: Math.ceil(places / invocations),
    code: () => `${groupNumber}
@compute @workgroup_size(${invocations}) fn main(
  @builtin(workgroup_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>, @builtin(local_invocation_index) lane : u32
) {
  let place = groupNumber(id, groups) * ${invocations}u + lane;
  if (place >= parameters.places) { return; }
  let i = place % parameters.half;
  let row = place / parameters.half;
  let angle = (parameters.offset + row / parameters.heads % parameters.seq) * parameters.half + i;
  let c = cosines[angle];
  let s = sines[angle] * parameters.direction;
  let at = 2u * row * parameters.half + i;
  let first = x[at];
  let second = x[at + parameters.half];
  y[at] = first * c - second * s;
  y[at + parameters.half] = second * c + first * s;
}`,
  });
  return [y];
});
