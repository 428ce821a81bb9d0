/** Fake quantization with learnt ranges on the webgpu backend: range, grid and rounding of a row in one dispatch, all gradients in another. */
import type * as tf from '@tensorflow/tfjs-core';
import { registerGpuKernel } from '../gpu-kernel.ts';
import { sizeOf } from '../kernel.ts';
import { dispatchRows, rowsOf } from '../quantize-rows.ts';

type Inputs = Record<'x' | 'dy' | 'stats' | 'high' | 'low', tf.TensorInfo>;

/** `stats` [rows, 4] keeps largest and smallest value, scale and zero point. */
registerGpuKernel('ClippedQuantize', ({ inputs, attributes, output }) => {
  const { x, high, low } = inputs as Inputs;
  const [rows, size] = rowsOf(x);
  const y = output(x.shape);
  const stats = output([rows, 4]);
  const { symmetric, halfScales, ...limits } = attributes as Record<string, number>;
  dispatchRows({
    name: 'clipped-quantize',
    ...{ rows, size, reads: { x }, writes: { y }, rowReads: { high, low }, rowWrites: { stats } },
    integers: { symmetric: symmetric!, halfScales: halfScales!, stride: strideOf(high) },
    floats: limits,
    body: `
      var range = vec2(-0x1.fffffep+127);
      for (var j = lane; j < end; j += lanes) { range = max(range, vec2(x[start + j], -x[start + j])); }
      range = maxOverRow(range);
      let hi = max(range.x, 0.0) * high[item * parameters.stride];
      let lo = min(-range.y, 0.0) * low[item * parameters.stride];
      let isSymmetric = parameters.symmetric == 1u;
      let width = quotient(select(hi - lo, max(hi, -lo), isSymmetric), parameters.divisor);
      var scale = select(1.0, width, width > 0.0);
      if (parameters.halfScales == 1u && width > 0.0) { scale = roundToHalf(width); }
      let zero = select(min(round(quotient(-lo, scale)), parameters.highest), 0.0, isSymmetric);
      for (var j = lane; j < end; j += lanes) {
        let code = round(quotient(x[start + j], scale)) + zero;
        y[start + j] = (clamp(code, parameters.lowest, parameters.highest) - zero) * scale;
      }
      if (isFirst) {
        stats[4u * item] = range.x;
        stats[4u * item + 1u] = -range.y;
        stats[4u * item + 2u] = scale;
        stats[4u * item + 3u] = zero;
      }`,
    library: roundToHalf,
  });
  return [y, stats];
});

registerGpuKernel('ClippedQuantizeGrad', ({ inputs, attributes, output }) => {
  const { x, dy, stats, high, low } = inputs as Inputs;
  const [rows, size] = rowsOf(x);
  const [dx, dHigh, dLow] = [output(x.shape), output([rows]), output([rows])];
  const { symmetric, halfScales: _, ...limits } = attributes as Record<string, number>;
  dispatchRows({
    name: 'clipped-quantize-grad',
    ...{ rows, size, reads: { x, dy }, writes: { dx } },
    ...{ rowReads: { stats, high, low }, rowWrites: { dHigh, dLow } },
    integers: { symmetric: symmetric!, stride: strideOf(high) },
    floats: limits,
    body: `
      let top = max(stats[4u * item], 0.0);
      let bottom = min(stats[4u * item + 1u], 0.0);
      let scale = stats[4u * item + 2u];
      let zero = stats[4u * item + 3u];
      var sums = vec4(0.0);
      for (var j = lane; j < end; j += lanes) {
        let value = x[start + j];
        let ratio = quotient(value, scale);
        let code = round(ratio) + zero;
        let clipped = clamp(code, parameters.lowest, parameters.highest);
        let slope = clipped - zero - select(0.0, ratio, code == clipped);
        sums += vec4(dy[start + j] * slope, select(0.0, 1.0, value == top), select(0.0, 1.0, value == bottom), 0.0);
      }
      sums = sumOverRow(sums);
      let hi = top * high[item * parameters.stride];
      let lo = bottom * low[item * parameters.stride];
      let isSymmetric = parameters.symmetric == 1u;
      let isEmpty = select(hi - lo, max(hi, -lo), isSymmetric) <= 0.0;
      let share = select(sums.x / parameters.divisor, 0.0, isEmpty);
      let dHi = select(share, 0.0, isSymmetric && hi < -lo);
      let dLo = select(-share, 0.0, isSymmetric && hi >= -lo);
      let toTop = select(0.0, dHi * high[item * parameters.stride] / max(sums.y, 1.0), top > 0.0);
      let toBottom = select(0.0, dLo * low[item * parameters.stride] / max(sums.z, 1.0), bottom < 0.0);
      for (var j = lane; j < end; j += lanes) {
        let value = x[start + j];
        let code = round(quotient(value, scale)) + zero;
        let inside = code >= parameters.lowest && code <= parameters.highest;
        dx[start + j] = select(0.0, dy[start + j], inside) + select(0.0, toTop, value == top) + select(0.0, toBottom, value == bottom);
      }
      if (isFirst) {
        dHigh[item] = dHi * top;
        dLow[item] = dLo * bottom;
      }`,
  });
  return [dx, dHigh, dLow];
});

/** Factors lie this far apart: 0 for one of all rows. */
function strideOf(factors: tf.TensorInfo): number {
  return sizeOf(factors) > 1 ? 1 : 0;
}

/** A positive number to the nearest of binary16, ties to even: never 0, and infinity above 65504. */
const roundToHalf = `
fn roundToHalf(value : f32) -> f32 {
  let bits = bitcast<u32>(value);
  let half = (bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u;
  let finite = select(half, 0x7f800000u, bitcast<f32>(half) > 65504.0);
  let small = max(round(value * 16777216.0), 1.0) * 5.9604644775390625e-8;
  return select(bitcast<f32>(finite), small, value < 6.103515625e-5);
}
`;
