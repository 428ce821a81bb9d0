/** Linear layers over 16-bit weights on the webgpu backend: the GEMM reads the words as they lie. */
import type * as tf from '@tensorflow/tfjs-core';
import { groupNumber, rowWindows } from '../../backends/webgpu/compute.ts';
import { gemm } from '../../backends/webgpu/gemm/index.ts';
import { registerGpuKernel } from '../gpu-kernel.ts';
import { sizeOf } from '../kernel.ts';

interface Attributes {
  type: 'f16' | 'bf16';
  outFeatures: number;
  inFeatures: number;
}

registerGpuKernel('HalfLinear', ({ inputs, attributes, output }) => {
  const { x, words, bias } = inputs as { x: tf.TensorInfo; words: tf.TensorInfo; bias?: tf.TensorInfo };
  const { type, outFeatures: n, inFeatures: k } = attributes as unknown as Attributes;
  const m = sizeOf(x) / k;
  const y = output([m, n]);
  gemm({ a: x, b: words, c: y, m, n, k, transB: true, types: { b: type }, ...(bias ? { bias } : {}) });
  return [y];
});

registerGpuKernel('HalfLinearGradInput', ({ inputs, attributes, output }) => {
  const { dy, words } = inputs as { dy: tf.TensorInfo; words: tf.TensorInfo };
  const { type, outFeatures: k, inFeatures: n } = attributes as unknown as Attributes;
  const m = sizeOf(dy) / k;
  const dx = output([m, n]);
  gemm({ a: dy, b: words, c: dx, m, n, k, types: { b: type } });
  return [dx];
});

const lanes = 256;
const pairOf = {
  f16: 'unpack2x16float(word)',
  bf16: 'vec2<f32>(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u))',
};

registerGpuKernel('UnpackHalf', ({ inputs, attributes, output, dispatch }) => {
  const { words } = inputs as { words: tf.TensorInfo };
  const { type, shape } = attributes as { type: 'f16' | 'bf16'; shape: number[] };
  const values = output(shape);
  const words64 = Math.ceil(sizeOf(words) / 64);
  for (const { first, rows } of rowWindows(words64, 512)) {
    const count = Math.min(64 * rows, sizeOf(words) - 64 * first);
    dispatch({
      name: `unpack-${type}`,
      reads: { words: { of: words, as: 'u32', offset: 256 * first, size: 4 * count } },
      writes: { values: { of: values, as: 'vec2<f32>', offset: 512 * first, size: 8 * count } },
      integers: { count },
      workgroups: Math.ceil(count / lanes),
      code: () => `${groupNumber}
      @compute @workgroup_size(${lanes})
      fn main(
        @builtin(workgroup_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>, @builtin(local_invocation_index) lane : u32
      ) {
        let place = groupNumber(id, groups) * ${lanes}u + lane;
        if (place >= parameters.count) { return; }
        let word = words[place];
        values[place] = ${pairOf[type]};
      }`,
    });
  }
  return [values];
});
