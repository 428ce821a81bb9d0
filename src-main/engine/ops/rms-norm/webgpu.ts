/** RMSNorm on the webgpu backend: a workgroup per row for the sums, an invocation per column for the weight's gradient. */
import type * as tf from '@tensorflow/tfjs-core';
import { sizeOf } from '../kernel.ts';
import { groupSize, registerWebGpuKernel } from '../webgpu-program.ts';

type Inputs = Record<'x' | 'weight' | 'dy' | 'rstd', tf.TensorInfo>;

registerWebGpuKernel('RmsNorm', ({ inputs, attributes, run }) => {
  const { x, weight } = inputs as Inputs;
  const size = weight.shape[0]!;
  const rows = sizeOf(x) / size;
  const rstd = run({
    name: 'rms-norm-rstd',
    outputShape: [rows],
    inputs: { x },
    workgroups: rows,
    integers: { size, rows },
    floats: { epsilon: attributes.epsilon as number },
    code: `fn main(index : i32) {
      let row = min(group(), uniforms.rows - 1);
      var squares = 0.0;
      for (var j = i32(localIndex); j < uniforms.size; j += ${groupSize}) { let v = x[row * uniforms.size + j]; squares += v * v; }
      let total = sumOverGroup(squares);
      if (localIndex == 0u) { result[row] = inverseSqrt(total / f32(uniforms.size) + uniforms.epsilon); }
    }`,
  });
  const y = run({
    name: 'rms-norm',
    outputShape: x.shape,
    inputs: { x, weight, rstd },
    workgroups: Math.ceil((rows * size) / groupSize),
    integers: { size, count: rows * size },
    code: `fn main(index : i32) {
      let place = group() * ${groupSize} + i32(localIndex);
      if (place < uniforms.count) { result[place] = x[place] * rstd[place / uniforms.size] * weight[place % uniforms.size]; }
    }`,
  });
  return [y, rstd];
});

registerWebGpuKernel('RmsNormGrad', ({ inputs, run }) => {
  const { x, weight, dy, rstd } = inputs as Inputs;
  const size = weight.shape[0]!;
  const rows = sizeOf(x) / size;
  const dx = run({
    name: 'rms-norm-dx',
    outputShape: x.shape,
    inputs: { x, weight, dy, rstd },
    workgroups: rows,
    integers: { size, rows },
    code: `fn main(index : i32) {
      let row = min(group(), uniforms.rows - 1);
      let start = row * uniforms.size;
      var products = 0.0;
      for (var j = i32(localIndex); j < uniforms.size; j += ${groupSize}) { products += dy[start + j] * weight[j] * x[start + j]; }
      let r = rstd[row];
      let pull = sumOverGroup(products) / f32(uniforms.size) * r * r;
      for (var j = i32(localIndex); j < uniforms.size; j += ${groupSize}) {
        result[start + j] = r * (dy[start + j] * weight[j] - x[start + j] * pull);
      }
    }`,
  });
  const dWeight = run({
    name: 'rms-norm-dweight',
    outputShape: weight.shape,
    inputs: { x, dy, rstd },
    workgroups: Math.ceil(size / groupSize),
    integers: { size, rows },
    code: `fn main(index : i32) {
      let column = group() * ${groupSize} + i32(localIndex);
      if (column >= uniforms.size) { return; }
      var total = 0.0;
      for (var row = 0; row < uniforms.rows; row++) {
        let place = row * uniforms.size + column;
        total += dy[place] * x[place] * rstd[row];
      }
      result[column] = total;
    }`,
  });
  return [dx, dWeight];
});
