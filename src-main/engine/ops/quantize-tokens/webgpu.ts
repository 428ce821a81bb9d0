/** Fake quantization of tokens on the webgpu backend: the invocations of a row find its range, then round. */
import type * as tf from '@tensorflow/tfjs-core';
import { registerGpuKernel } from '../gpu-kernel.ts';
import { dispatchRows, type RowKernel, rowsOf } from '../quantize-rows.ts';
import type { TokenQuantizer } from './index.ts';
import { quantizerFloats } from './quantizer-words.ts';

/** Stands for no threshold: WGSL has no infinity. */
const noThreshold = 3e38;

registerGpuKernel('QuantizeTokens', ({ inputs, attributes, output }) => {
  const { x } = inputs as { x: tf.TensorInfo };
  const y = output(x.shape);
  quantizeRows('quantize-tokens', x, attributes, {
    ...{ reads: { x }, writes: { y } },
    body: `
        let clipped = clamp(code, parameters.lowest, parameters.highest);
        y[start + j] = select((clipped - zero) * scale, v, isOutlier);`,
  });
  return [y];
});

registerGpuKernel('QuantizeTokensGrad', ({ inputs, attributes, output }) => {
  const { x, dy } = inputs as { x: tf.TensorInfo; dy: tf.TensorInfo };
  const dx = output(x.shape);
  quantizeRows('quantize-tokens-grad', x, attributes, {
    ...{ reads: { x, dy }, writes: { dx } },
    body: `
        let passes = isOutlier || (code >= parameters.lowest && code <= parameters.highest);
        dx[start + j] = select(0.0, dy[start + j], passes);`,
  });
  return [dx];
});

/** The grid of each row of x; `body` is what becomes of a value v and its code before clipping. Infinities and NaN count as outliers. */
function quantizeRows(
  name: string,
  x: tf.TensorInfo,
  attributes: Record<string, unknown>,
  { reads, writes, body }: Pick<RowKernel, 'reads' | 'writes' | 'body'>,
): void {
  const quantizer = quantizerFloats(attributes as unknown as TokenQuantizer);
  const [divisor, lowest, highest, clipHigh, clipLow, threshold, symmetric] = quantizer as unknown as number[];
  const [rows, size] = rowsOf(x);
  dispatchRows({
    ...{ name, rows, size, reads, writes },
    integers: { symmetric: symmetric! },
    floats: {
      ...{ divisor: divisor!, lowest: lowest!, highest: highest! },
      ...{ clipHigh: clipHigh!, clipLow: clipLow!, threshold: Math.min(threshold!, noThreshold) },
    },
    body: `
      var range = vec2(0.0);
      for (var j = lane; j < end; j += lanes) {
        let v = x[start + j];
        if (abs(v) < parameters.threshold) { range = max(range, vec2(v, -v)); }
      }
      range = maxOverRow(range) * vec2(parameters.clipHigh, parameters.clipLow);
      let isSymmetric = parameters.symmetric == 1u;
      let width = quotient(select(range.x + range.y, max(range.x, range.y), isSymmetric), parameters.divisor);
      let scale = select(1.0, width, width > 0.0);
      let zero = select(round(quotient(range.y, scale)), 0.0, isSymmetric);
      for (var j = lane; j < end; j += lanes) {
        let v = x[start + j];
        let isOutlier = !(abs(v) < parameters.threshold);
        let code = round(quotient(v, scale)) + zero;
        ${body}
      }`,
  });
}
