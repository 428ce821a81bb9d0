/** Clamping of rows on the webgpu backend. */
import type * as tf from '@tensorflow/tfjs-core';
import { registerGpuKernel } from '../gpu-kernel.ts';
import { dispatchRows, rowsOf } from '../gpu-rows.ts';

type Inputs = Record<'x' | 'dy' | 'stats' | 'high' | 'low', tf.TensorInfo>;

/** `stats` [rows, 2] keeps largest and smallest value. */
registerGpuKernel('ClampRows', ({ inputs, output }) => {
  const { x, high, low } = inputs as Inputs;
  const [rows, size] = rowsOf(x);
  const y = output(x.shape);
  const stats = output([rows, 2]);
  dispatchRows({
    name: 'clamp-rows',
    ...{ rows, size, reads: { x }, writes: { y }, rowReads: { high, low }, rowWrites: { stats } },
    body: `
      var range = vec2(-0x1.fffffep+127);
      for (var j = lane; j < end; j += lanes) { range = max(range, vec2(x[start + j], -x[start + j])); }
      range = maxOverRow(range);
      let top = range.x * high[item];
      let bottom = -range.y * low[item];
      for (var j = lane; j < end; j += lanes) { y[start + j] = min(max(x[start + j], bottom), top); }
      if (isFirst) {
        stats[2u * item] = range.x;
        stats[2u * item + 1u] = -range.y;
      }`,
  });
  return [y, stats];
});

registerGpuKernel('ClampRowsGrad', ({ inputs, output }) => {
  const { x, dy, stats, high, low } = inputs as Inputs;
  const [rows, size] = rowsOf(x);
  const [dx, dHigh, dLow] = [output(x.shape), output([rows]), output([rows])];
  dispatchRows({
    name: 'clamp-rows-grad',
    ...{ rows, size, reads: { x, dy }, writes: { dx } },
    ...{ rowReads: { stats, high, low }, rowWrites: { dHigh, dLow } },
    body: `
      let largest = stats[2u * item];
      let smallest = stats[2u * item + 1u];
      let top = largest * high[item];
      let bottom = smallest * low[item];
      var sums = vec4(0.0);
      for (var j = lane; j < end; j += lanes) {
        let value = x[start + j];
        let d = dy[start + j];
        let above = value > top;
        let below = value < bottom && !above;
        sums += vec4(select(0.0, d, above), select(0.0, d, below), select(0.0, 1.0, value == largest), select(0.0, 1.0, value == smallest));
      }
      sums = sumOverRow(sums);
      let toLargest = sums.x * high[item] / sums.z;
      let toSmallest = sums.y * low[item] / sums.w;
      for (var j = lane; j < end; j += lanes) {
        let value = x[start + j];
        let passes = value <= top && value >= bottom;
        dx[start + j] = select(0.0, dy[start + j], passes)
          + select(0.0, toLargest, value == largest) + select(0.0, toSmallest, value == smallest);
      }
      if (isFirst) {
        dHigh[item] = sums.x * largest;
        dLow[item] = sums.y * smallest;
      }`,
  });
  return [dx, dHigh, dLow];
});
