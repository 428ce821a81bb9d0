/** Packed weights on the webgpu backend: products that read them in place, and dequantization. */
import type * as tf from '@tensorflow/tfjs-core';
import { groupNumber } from '../../backends/webgpu/compute.ts';
import { gemm } from '../../backends/webgpu/gemm/index.ts';
import type { ComputedMatrix } from '../../backends/webgpu/gemm/operands.ts';
import { type GpuCall, registerGpuKernel } from '../gpu-kernel.ts';
import { sizeOf } from '../kernel.ts';
import type { PackedWeightLayout } from './weight.ts';
import { packedEightType, packedMatrix } from './wgsl.ts';

/** x [rows, in], the tensors of a `PackedWeight` and bias [out]; attributes: its layout. Result [rows, out]. */
registerGpuKernel('PackedLinear', ({ inputs, attributes, output }) => {
  const { x, bias } = inputs as { x: tf.TensorInfo; bias?: tf.TensorInfo };
  const { outFeatures: n, inFeatures: k } = attributes as unknown as PackedWeightLayout;
  const m = sizeOf(x) / k;
  const y = output([m, n]);
  gemm({ a: x, b: matrixOf(inputs, attributes), c: y, m, n, k, transB: true, ...(bias ? { bias } : {}) });
  return [y];
});

/** dy [rows, out] and the rest as above; result [rows, in]. */
registerGpuKernel('PackedLinearGradInput', ({ inputs, attributes, output }) => {
  const { dy } = inputs as { dy: tf.TensorInfo };
  const { outFeatures: k, inFeatures: n } = attributes as unknown as PackedWeightLayout;
  const m = sizeOf(dy) / k;
  const dx = output([m, n]);
  gemm({ a: dy, b: matrixOf(inputs, attributes), c: dx, m, n, k });
  return [dx];
});

const invocations = 64;

for (const kernel of ['DequantizeInteger', 'DequantizeNf4']) {
  registerGpuKernel(kernel, ({ inputs, attributes, output, dispatch }) => {
    const { name, reads, integers, code } = matrixOf(inputs, attributes);
    const { outFeatures, inFeatures } = attributes as unknown as PackedWeightLayout;
    const y = output([outFeatures, inFeatures]);
    const quads = Math.ceil(inFeatures / 4);
    dispatch({
      name: `dequantize-${name}`,
      reads,
      writes: { y },
      integers: { ...integers, quads, count: outFeatures * quads },
      workgroups: Math.ceil((outFeatures * quads) / invocations),
      code: () => `${packedEightType}${groupNumber}${code}
      @compute @workgroup_size(${invocations}) fn main(
        @builtin(workgroup_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>, @builtin(local_invocation_index) lane : u32
      ) {
        wStart(lane);
        workgroupBarrier();
        let place = groupNumber(id, groups) * ${invocations}u + lane;
        if (place >= parameters.count) { return; }
        let row = place / parameters.quads;
        let column = 4u * (place % parameters.quads);
        let values = wFour(row, column);
        for (var i = 0u; i < 4u && column + i < parameters.inFeatures; i++) { y[row * parameters.inFeatures + column + i] = values[i]; }
      }`,
    });
    return [y];
  });
}

function matrixOf(inputs: GpuCall['inputs'], attributes: GpuCall['attributes']): ComputedMatrix {
  const { words, scales, zeros = null, groupIndex = null } = inputs as Record<string, tf.TensorInfo>;
  return packedMatrix({ layout: attributes as unknown as PackedWeightLayout, words: words!, scales: scales!, zeros, groupIndex });
}
