/** Fake quantization on the webgpu backend: scales of all groups in one dispatch, rounding and its gradient in one each. */
import type * as tf from '@tensorflow/tfjs-core';
import { registerGpuKernel } from '../gpu-kernel.ts';
import { sizeOf } from '../kernel.ts';
import { dispatchRows } from '../quantize-rows.ts';

type Inputs = Record<'weight' | 'scale' | 'zeroPoint' | 'dy', tf.TensorInfo>;

registerGpuKernel('FakeQuantize', ({ inputs, attributes, output }) => {
  const { weight, scale, zeroPoint } = inputs as Inputs;
  const value = output(weight.shape);
  dispatchRows({
    name: 'fake-quantize',
    ...groupsOf(weight, scale),
    reads: { weight },
    writes: { value },
    rowReads: { scale, zeroPoint },
    floats: limits(attributes),
    body: `
      let s = scale[item];
      let z = zeroPoint[item];
      for (var j = lane; j < end; j += lanes) {
        let code = round(quotient(weight[start + j], s)) + z;
        value[start + j] = (clamp(code, parameters.lowest, parameters.highest) - z) * s;
      }`,
  });
  return [value];
});

registerGpuKernel('FakeQuantizeGrad', ({ inputs, attributes, output }) => {
  const { weight, scale, zeroPoint, dy } = inputs as Inputs;
  const dWeight = output(weight.shape);
  dispatchRows({
    name: 'fake-quantize-grad',
    ...groupsOf(weight, scale),
    reads: { weight, dy },
    writes: { dWeight },
    rowReads: { scale, zeroPoint },
    floats: limits(attributes),
    body: `
      let s = scale[item];
      let z = zeroPoint[item];
      for (var j = lane; j < end; j += lanes) {
        let code = quotient(weight[start + j], s) + z;
        dWeight[start + j] = select(0.0, dy[start + j], code >= parameters.lowest && code <= parameters.highest);
      }`,
  });
  return [dWeight];
});

/** Scale and zero point [rows, groups] of a weight. Attributes: `form` of the grid, `groups` per row, `bits`. */
registerGpuKernel('GridParameters', ({ inputs, attributes, output }) => {
  const { weight } = inputs as Inputs;
  const { form, groups, bits } = attributes as { form: keyof typeof scaleOfForm; groups: number; bits: number };
  const shape = [weight.shape[0]!, groups];
  const [scale, zeroPoint] = [output(shape), output(shape)];
  dispatchRows({
    name: `grid-parameters-${form}`,
    ...groupsOf(weight, scale),
    reads: { weight },
    writes: {},
    rowWrites: { scale, zeroPoint },
    floats: { half: 2 ** (bits - 1), steps: 2 ** bits - 1 },
    body: `
      var range = vec2(0.0);
      for (var j = lane; j < end; j += lanes) { range = max(range, vec2(weight[start + j], -weight[start + j])); }
      range = maxOverRow(range);
      if (range.x + range.y == 0.0) { range = vec2(1.0); }
      ${scaleOfForm[form]}
      if (isFirst) {
        scale[item] = s;
        zeroPoint[item] = z;
      }`,
  });
  return [scale, zeroPoint];
});

/** From the largest value and the negated smallest one, in the order of operations of the composed form. */
const scaleOfForm = {
  symmetric: `
      let s = quotient(max(range.x, range.y), parameters.half - 1.0);
      let z = 0.0;`,
  shifted: `
      let s = quotient(2.0 * max(range.x, range.y), parameters.steps);
      let z = parameters.half;`,
  asymmetric: `
      let s = quotient(range.x + range.y, parameters.steps);
      let z = round(quotient(range.y, s));`,
};

function groupsOf(weight: tf.TensorInfo, scale: tf.TensorInfo): { rows: number; size: number } {
  const rows = sizeOf(scale);
  return { rows, size: sizeOf(weight) / rows };
}

function limits(attributes: Record<string, unknown>): { lowest: number; highest: number } {
  const { lowest, highest } = attributes as { lowest: number; highest: number };
  return { lowest, highest };
}
