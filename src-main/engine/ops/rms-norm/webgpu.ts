/**
 * RMSNorm on the webgpu backend: one dispatch forward; two back, the first of which leaves each workgroup's share of the weight's gradient to
 * the second.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { registerGpuKernel } from '../gpu-kernel.ts';
import { rowInvocations, rowLayout, rowShader } from '../gpu-rows.ts';
import { sizeOf } from '../kernel.ts';

type Inputs = Record<'x' | 'weight' | 'dy' | 'rstd', tf.TensorInfo>;

/** Workgroups of the backward pass, the most: enough to fill a GPU, few enough for their shares to be added quickly. */
const mostGroups = 512;
/** Columns, or vectors of four, that a workgroup of the last addition takes. */
const columnsPerGroup = 16;

registerGpuKernel('RmsNorm', ({ inputs, attributes, output, dispatch }) => {
  const { x, weight } = inputs as Inputs;
  const layout = rowLayout(weight.shape[0]!);
  const { element: as, elements, lanes, rowsAbreast } = layout;
  const rows = sizeOf(x) / weight.shape[0]!;
  const [y, rstd] = [output(x.shape), output([rows])] as const;
  dispatch({
    name: `rms-norm-${layout.name}`,
    reads: { x: { of: x, as }, weight: { of: weight, as } },
    writes: { y: { of: y, as }, rstd },
    integers: { rows, elements },
    floats: { size: weight.shape[0]!, epsilon: attributes.epsilon as number },
    workgroups: Math.ceil(rows / rowsAbreast),
    code: () =>
      rowShader(
        layout,
        `let row = group * ${rowsAbreast}u + abreast;
  let start = row * parameters.elements;
  let last = select(0u, parameters.elements, row < parameters.rows);
  var squares = 0.0;
  for (var j = rowLane; j < last; j += ${lanes}u) { let v = x[start + j]; squares += sumOf(v * v); }
  let r = inverseSqrt(sumOver(squares, lane) / parameters.size + parameters.epsilon);
  if (rowLane == 0u && last > 0u) { rstd[row] = r; }
  for (var j = rowLane; j < last; j += ${lanes}u) { y[start + j] = x[start + j] * r * weight[j]; }`,
      ),
  });
  return [y, rstd];
});

registerGpuKernel('RmsNormGrad', ({ inputs, output, scratch, dispatch }) => {
  const { x, weight, dy, rstd } = inputs as Inputs;
  const size = weight.shape[0]!;
  const layout = rowLayout(size);
  const { element: as, elements, rowsAbreast } = layout;
  const rows = sizeOf(x) / size;
  const turns = Math.ceil(rows / (rowsAbreast * Math.min(mostGroups, Math.ceil(rows / rowsAbreast))));
  const groups = Math.ceil(rows / (rowsAbreast * turns));
  const [dx, dWeight, shares] = [output(x.shape), output([size]), scratch([groups, size])] as const;
  dispatch({
    name: `rms-norm-gradient-${layout.name}`,
    reads: { x: { of: x, as }, weight: { of: weight, as }, dy: { of: dy, as }, rstd },
    writes: { dx: { of: dx, as }, shares: { of: shares, as } },
    integers: { rows, elements, turns },
    floats: { size },
    workgroups: [groups, 1, 1],
    code: () => rowShader(layout, backwardBody(layout), `var<workgroup> folded : array<Element, ${rowInvocations}>;`),
  });
  dispatch({
    name: `rms-norm-weight-gradient-${as === 'f32' ? 1 : 4}`,
    reads: { shares: { of: shares, as } },
    writes: { dWeight: { of: dWeight, as } },
    integers: { groups, elements },
    workgroups: [Math.ceil(elements / columnsPerGroup), 1, 1],
    code: () => addShares(as),
  });
  return [dx, dWeight];
});

/** Each row's lanes keep their columns' sums over the rows they pass; those of rows abreast are added before they leave the workgroup. */
function backwardBody({ lanes, perLane, rowsAbreast }: ReturnType<typeof rowLayout>): string {
  const columns = Array.from({ length: perLane }, (_, k) => k);
  const fold = (k: number) => `folded[lane] = own${k};
  workgroupBarrier();
  if (abreast == 0u && rowLane + ${k * lanes}u < parameters.elements) {
    var total = folded[rowLane];
    for (var i = 1u; i < ${rowsAbreast}u; i++) { total += folded[rowLane + i * ${lanes}u]; }
    shares[group * parameters.elements + rowLane + ${k * lanes}u] = total;
  }
  workgroupBarrier();`;
  return `${columns.map((k) => `var own${k} = Element();`).join('\n  ')}
  for (var turn = 0u; turn < parameters.turns; turn++) {
    let row = (group * parameters.turns + turn) * ${rowsAbreast}u + abreast;
    let start = row * parameters.elements;
    let last = select(0u, parameters.elements, row < parameters.rows);
    let r = rstd[min(row, parameters.rows - 1u)];
    var products = 0.0;
    ${columns.map((k) => `{ let j = rowLane + ${k * lanes}u; if (j < last) { let gx = dy[start + j] * x[start + j]; products += sumOf(gx * weight[j]); own${k} += gx * r; } }`).join('\n    ')}
    let pull = sumOver(products, lane) / parameters.size * r * r;
    for (var j = rowLane; j < last; j += ${lanes}u) { dx[start + j] = r * (dy[start + j] * weight[j] - x[start + j] * pull); }
  }
  ${columns.map(fold).join('\n  ')}`;
}

function addShares(element: string): string {
  const abreast = rowInvocations / columnsPerGroup;
  return `var<workgroup> sums : array<${element}, ${rowInvocations}>;
@compute @workgroup_size(${rowInvocations}) fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(local_invocation_index) lane : u32) {
  let column = id.x * ${columnsPerGroup}u + lane % ${columnsPerGroup}u;
  var total = ${element}();
  if (column < parameters.elements) {
    for (var group = lane / ${columnsPerGroup}u; group < parameters.groups; group += ${abreast}u) { total += shares[group * parameters.elements + column]; }
  }
  sums[lane] = total;
  workgroupBarrier();
  if (lane < ${columnsPerGroup}u && column < parameters.elements) {
    for (var i = 1u; i < ${abreast}u; i++) { total += sums[lane + i * ${columnsPerGroup}u]; }
    dWeight[column] = total;
  }
}`;
}
