/** Fake quantization of tokens on the webgpu backend: a workgroup per row finds the range, then rounds. */
import type * as tf from '@tensorflow/tfjs-core';
import { sizeOf } from '../kernel.ts';
import { groupSize, registerWebGpuKernel } from '../webgpu-program.ts';
import type { TokenQuantizer } from './index.ts';
import { quantizerFloats } from './quantizer-words.ts';

/** Stands for no threshold: WGSL has no infinity. */
const noThreshold = 3e38;

registerWebGpuKernel('QuantizeTokens', ({ inputs, attributes, run }) => {
  const { x } = inputs as { x: tf.TensorInfo };
  const size = x.shape.at(-1)!;
  const rows = sizeOf(x) / size;
  const [divisor, lowest, highest, clipHigh, clipLow, threshold, symmetric] = quantizerFloats(attributes as unknown as TokenQuantizer);
  const y = run({
    name: 'quantize-tokens',
    outputShape: x.shape,
    inputs: { x },
    workgroups: rows,
    integers: { size, rows, symmetric: symmetric! },
    floats: {
      divisor: divisor!,
      lowest: lowest!,
      highest: highest!,
      clipHigh: clipHigh!,
      clipLow: clipLow!,
      threshold: Math.min(threshold!, noThreshold),
    },
    code: `
    var<workgroup> highs : array<f32, ${groupSize}>;
    var<workgroup> lows : array<f32, ${groupSize}>;
    fn main(index : i32) {
      let row = min(group(), uniforms.rows - 1);
      let start = row * uniforms.size;
      var high = 0.0;
      var low = 0.0;
      for (var j = i32(localIndex); j < uniforms.size; j += ${groupSize}) {
        let v = x[start + j];
        if (abs(v) < uniforms.threshold) { high = max(high, v); low = min(low, v); }
      }
      highs[localIndex] = high;
      lows[localIndex] = low;
      workgroupBarrier();
      for (var stride = ${groupSize / 2}u; stride > 0u; stride = stride >> 1u) {
        if (localIndex < stride) {
          highs[localIndex] = max(highs[localIndex], highs[localIndex + stride]);
          lows[localIndex] = min(lows[localIndex], lows[localIndex + stride]);
        }
        workgroupBarrier();
      }
      let top = highs[0] * uniforms.clipHigh;
      let bottom = lows[0] * uniforms.clipLow;
      var range = top - bottom;
      if (uniforms.symmetric == 1) { range = max(top, -bottom); }
      let width = range / uniforms.divisor;
      let scale = select(1.0, width, width > 0.0);
      let zero = select(round(-bottom / scale), 0.0, uniforms.symmetric == 1);
      for (var j = i32(localIndex); j < uniforms.size; j += ${groupSize}) {
        let v = x[start + j];
        let code = clamp(round(v / scale) + zero, uniforms.lowest, uniforms.highest);
        result[start + j] = select(v, (code - zero) * scale, abs(v) < uniforms.threshold);
      }
    }`,
  });
  return [y];
});
