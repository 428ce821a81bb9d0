/** Clamping of rows on the webgpu backend, one dispatch forward and one back. */
import type * as tf from '@tensorflow/tfjs-core';
import { registerGpuKernel } from '../gpu-kernel.ts';
import { rowLayout, rowShader } from '../gpu-rows.ts';

type Inputs = Record<'x' | 'dy' | 'stats' | 'high' | 'low', tf.TensorInfo>;

registerGpuKernel('ClampRows', ({ inputs, output, dispatch }) => {
  const { x, high, low } = inputs as Inputs;
  const [rows, size] = x.shape as [number, number];
  const layout = rowLayout(size);
  const { element: as, elements, lanes, rowsAbreast } = layout;
  const [y, stats] = [output(x.shape), output([rows, 2])] as const;
  dispatch({
    name: `clamp-rows-${layout.name}`,
    reads: { x: { of: x, as }, high, low },
    writes: { y: { of: y, as }, stats },
    integers: { rows, elements },
    workgroups: Math.ceil(rows / rowsAbreast),
    code: () =>
      rowShader(
        layout,
        `let row = min(group * ${rowsAbreast}u + abreast, parameters.rows - 1u);
  let start = row * parameters.elements;
  var highest = maxOf(x[start]);
  var lowest = minOf(x[start]);
  for (var j = rowLane; j < parameters.elements; j += ${lanes}u) {
    let v = x[start + j];
    highest = max(highest, maxOf(v));
    lowest = min(lowest, minOf(v));
  }
  highest = maxOver(highest, lane);
  lowest = minOver(lowest, lane);
  if (rowLane == 0u) { stats[2u * row] = highest; stats[2u * row + 1u] = lowest; }
  let top = Element(highest * high[row]);
  let bottom = Element(lowest * low[row]);
  for (var j = rowLane; j < parameters.elements; j += ${lanes}u) { y[start + j] = min(max(x[start + j], bottom), top); }`,
      ),
  });
  return [y, stats];
});

registerGpuKernel('ClampRowsGrad', ({ inputs, output, dispatch }) => {
  const { x, dy, stats, high, low } = inputs as Inputs;
  const [rows, size] = x.shape as [number, number];
  const layout = rowLayout(size);
  const { element: as, elements, lanes, rowsAbreast } = layout;
  const [dx, dHigh, dLow] = [output(x.shape), output([rows]), output([rows])] as const;
  dispatch({
    name: `clamp-rows-gradient-${layout.name}`,
    reads: { x: { of: x, as }, dy: { of: dy, as }, stats, high, low },
    writes: { dx: { of: dx, as }, dHigh, dLow },
    integers: { rows, elements },
    workgroups: Math.ceil(rows / rowsAbreast),
    // A row's extreme is one of its values, so at least one place is equal to it.
    code: () =>
      rowShader(
        layout,
        `let row = min(group * ${rowsAbreast}u + abreast, parameters.rows - 1u);
  let start = row * parameters.elements;
  let highest = stats[2u * row];
  let lowest = stats[2u * row + 1u];
  let top = Element(highest * high[row]);
  let bottom = Element(lowest * low[row]);
  let zero = Element();
  let one = zero + 1.0;
  var above = 0.0;
  var below = 0.0;
  var atHighest = 0.0;
  var atLowest = 0.0;
  for (var j = rowLane; j < parameters.elements; j += ${lanes}u) {
    let v = x[start + j];
    let d = dy[start + j];
    above += sumOf(select(zero, d, v > top));
    below += sumOf(select(select(zero, d, v < bottom), zero, v > top));
    atHighest += sumOf(select(zero, one, v == Element(highest)));
    atLowest += sumOf(select(zero, one, v == Element(lowest)));
  }
  let dTop = sumOver(above, lane);
  let dBottom = sumOver(below, lane);
  let shareHigh = dTop * high[row] / sumOver(atHighest, lane);
  let shareLow = dBottom * low[row] / sumOver(atLowest, lane);
  if (rowLane == 0u) { dHigh[row] = dTop * highest; dLow[row] = dBottom * lowest; }
  for (var j = rowLane; j < parameters.elements; j += ${lanes}u) {
    let v = x[start + j];
    var d = select(select(dy[start + j], zero, v < bottom), zero, v > top);
    d += select(zero, Element(shareHigh), v == Element(highest));
    d += select(zero, Element(shareLow), v == Element(lowest));
    dx[start + j] = d;
  }`,
      ),
  });
  return [dx, dHigh, dLow];
});
