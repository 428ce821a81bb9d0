/** A linear layer on the webgpu backend: one GEMM forward, one per gradient, none with a transposed copy. */
import type * as tf from '@tensorflow/tfjs-core';
import { gemm } from '../../backends/webgpu/gemm/index.ts';
import { registerGpuKernel } from '../gpu-kernel.ts';
import { sizeOf } from '../kernel.ts';

registerGpuKernel('Linear', ({ inputs, output }) => {
  const { x, weight, bias } = inputs as { x: tf.TensorInfo; weight: tf.TensorInfo; bias?: tf.TensorInfo };
  const [n, k] = weight.shape as [number, number];
  const y = output([...x.shape.slice(0, -1), n]);
  gemm({ a: x, b: weight, c: y, m: sizeOf(x) / k, n, k, transB: true, ...(bias ? { bias } : {}) });
  return [y];
});

registerGpuKernel('LinearGradInput', ({ inputs, attributes, output }) => {
  const { dy, weight } = inputs as { dy: tf.TensorInfo; weight: tf.TensorInfo };
  const [k, n] = weight.shape as [number, number];
  const dx = output(attributes.shape as number[]);
  gemm({ a: dy, b: weight, c: dx, m: sizeOf(dy) / k, n, k });
  return [dx];
});

registerGpuKernel('LinearGradWeight', ({ inputs, output }) => {
  const { dy, x } = inputs as { dy: tf.TensorInfo; x: tf.TensorInfo };
  const [m, n] = [dy.shape.at(-1)!, x.shape.at(-1)!];
  const dWeight = output([m, n]);
  gemm({ a: dy, b: x, c: dWeight, m, n, k: sizeOf(dy) / m, transA: true });
  return [dWeight];
});

/** Columns per workgroup, and rows that are summed side by side. */
const sumColumns = 32;
const sumLanes = 8;

registerGpuKernel('LinearGradBias', ({ inputs, output, dispatch }) => {
  const { dy } = inputs as { dy: tf.TensorInfo };
  const columns = dy.shape.at(-1)!;
  const sum = output([columns]);
  dispatch({
    name: 'sum-rows',
    reads: { dy },
    writes: { sum },
    integers: { rows: sizeOf(dy) / columns, columns },
    workgroups: [Math.ceil(columns / sumColumns), 1, 1],
    code: () => `
      var<workgroup> sums : array<array<f32, ${sumColumns}>, ${sumLanes}>;
      @compute @workgroup_size(${sumColumns}, ${sumLanes})
      fn main(@builtin(workgroup_id) group : vec3<u32>, @builtin(local_invocation_id) lane : vec3<u32>) {
        let column = group.x * ${sumColumns}u + lane.x;
        var total = 0.0;
        if (column < parameters.columns) {
          for (var row = lane.y; row < parameters.rows; row += ${sumLanes}u) { total += dy[row * parameters.columns + column]; }
        }
        sums[lane.y][lane.x] = total;
        workgroupBarrier();
        if (lane.y > 0u || column >= parameters.columns) { return; }
        for (var i = 1u; i < ${sumLanes}u; i++) { total += sums[i][lane.x]; }
        sum[column] = total;
      }`,
  });
  return [sum];
});
