/**
 * Embedding on the webgpu backend: a row gather forward; back, rows of the gradient are added by token without atomics, each sum in the order of
 * the places, so that it comes out the same every time. Tables larger than one binding are read and written in windows of rows.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { groupNumber, rowWindows } from '../../backends/webgpu/compute.ts';
import { type GpuCall, registerGpuKernel } from '../gpu-kernel.ts';
import { sizeOf } from '../kernel.ts';
import { checkPendingIds } from '../token-ids.ts';

const invocations = 256;
/** Columns (or vectors of four) that a workgroup adds, each by four invocations. */
const columnsPerGroup = 64;

const entry = `${groupNumber}
@compute @workgroup_size(${invocations}) fn main(
  @builtin(workgroup_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>, @builtin(local_invocation_index) lane : u32
) {
  let index = groupNumber(id, groups) * ${invocations}u + lane;`;

/** Ids that lie on the GPU already cannot be checked here: one outside the table gives NaN, which a training reports when it sees the loss. */
registerGpuKernel('Embedding', ({ inputs, output, dispatch }) => {
  const { table, ids } = inputs as { table: tf.TensorInfo; ids: tf.TensorInfo };
  const [vocab, size] = table.shape as [number, number];
  checkPendingIds(ids, vocab);
  const { as, columns } = layout(size);
  const y = output([...ids.shape, size]);
  const places = sizeOf(ids) * columns;
  for (const { first, rows } of rowWindows(vocab, 4 * size)) {
    dispatch({
      name: `embedding-${as}`,
      reads: { table: { of: table, as, offset: 4 * size * first, size: 4 * size * rows }, ids },
      writes: { y: { of: y, as } },
      integers: { places, columns, first, rows, vocab, notANumber: 0x7fc00000 },
      workgroups: Math.ceil(places / invocations),
      code: () => `${entry}
  if (index >= parameters.places) { return; }
  let token = u32(ids[index / parameters.columns]);
  if (token >= parameters.first && token < parameters.first + parameters.rows) {
    y[index] = table[(token - parameters.first) * parameters.columns + index % parameters.columns];
  } else if (token >= parameters.vocab) {
    y[index] = ${as}(bitcast<f32>(parameters.notANumber));
  }
}`,
    });
  }
  return [y];
});

registerGpuKernel('EmbeddingGrad', (call) => {
  const { dy, ids } = call.inputs as { dy: tf.TensorInfo; ids: tf.TensorInfo };
  const [vocab, size] = call.attributes.shape as [number, number];
  const count = sizeOf(ids);
  const { as, columns } = layout(size);
  const dTable = call.output([vocab, size]);
  const order = call.scratch([count], 'int32');
  const spans = call.scratch([count, 2], 'int32');
  sortPlaces(call, ids, order, spans, count);
  for (const { first, rows } of rowWindows(vocab, 4 * size)) {
    const window = { of: dTable, as, offset: 4 * size * first, size: 4 * size * rows };
    call.dispatch({
      name: `embedding-clear-${as}`,
      reads: {},
      writes: { dTable: window },
      integers: { places: rows * columns },
      workgroups: Math.ceil((rows * columns) / invocations),
      code: () => `${entry}\n  if (index < parameters.places) { dTable[index] = ${as}(); }\n}`,
    });
    call.dispatch({
      name: `embedding-gradient-${as}`,
      reads: { dy: { of: dy, as }, ids, order, spans: { of: spans, as: 'vec2<i32>' } },
      writes: { dTable: window },
      integers: { count, columns, first, rows },
      workgroups: [Math.ceil(columns / columnsPerGroup), Math.min(count, 65535), Math.ceil(count / 65535)],
      code: () => addByToken(as),
    });
  }
  return [dTable];
});

function layout(size: number): { as: string; columns: number } {
  return size % 4 === 0 ? { as: 'vec4<f32>', columns: size / 4 } : { as: 'f32', columns: size };
}

/**
 * The places sorted by token, then by themselves, into `order`; into `spans`, at the first place of each token, where its places begin there
 * and how many they are (0 at its other places). Each place counts those that come before it: places² comparisons, tiles of ids at a time.
 */
function sortPlaces({ dispatch }: GpuCall, ids: tf.TensorInfo, order: tf.TensorInfo, spans: tf.TensorInfo, count: number): void {
  dispatch({
    name: 'embedding-sort',
    reads: { ids },
    writes: { order, spans: { of: spans, as: 'vec2<i32>' } },
    integers: { count },
    workgroups: Math.ceil(count / invocations),
    code: () => `var<workgroup> tile : array<i32, ${invocations}>;
${entry}
  let own = ids[min(index, parameters.count - 1u)];
  var before = 0;
  var alike = 0;
  var alikeBefore = 0;
  for (var start = 0u; start < parameters.count; start += ${invocations}u) {
    tile[lane] = ids[min(start + lane, parameters.count - 1u)];
    workgroupBarrier();
    let last = min(${invocations}u, parameters.count - start);
    for (var i = 0u; i < last; i++) {
      let other = tile[i];
      before += i32(other < own);
      alike += i32(other == own);
      alikeBefore += i32(other == own && start + i < index);
    }
    workgroupBarrier();
  }
  if (index >= parameters.count) { return; }
  order[before + alikeBefore] = i32(index);
  spans[index] = vec2(before, select(0, alike, alikeBefore == 0));
}`,
  });
}

/** A workgroup per first place of a token; its four rows of invocations take every fourth place each. */
function addByToken(element: string): string {
  return `var<workgroup> sums : array<${element}, ${invocations}>;
@compute @workgroup_size(${invocations}) fn main(
  @builtin(workgroup_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>, @builtin(local_invocation_index) lane : u32
) {
  let place = id.z * 65535u + id.y;
  if (place >= parameters.count) { return; }
  let span = spans[place];
  let token = u32(ids[place]) - parameters.first;
  if (span.y == 0 || token >= parameters.rows) { return; }
  let column = id.x * ${columnsPerGroup}u + lane % ${columnsPerGroup}u;
  var total = ${element}();
  if (column < parameters.columns) {
    for (var i = i32(lane / ${columnsPerGroup}u); i < span.y; i += ${invocations / columnsPerGroup}) {
      total += dy[u32(order[span.x + i]) * parameters.columns + column];
    }
  }
  sums[lane] = total;
  workgroupBarrier();
  if (lane < ${columnsPerGroup}u && column < parameters.columns) {
    dTable[token * parameters.columns + column] = sums[lane] + sums[lane + 64u] + sums[lane + 128u] + sums[lane + 192u];
  }
}`;
}
