/** The global norm on the webgpu backend: sums of squares of many tensors per dispatch, then one dispatch that adds them up. */
import * as tf from '@tensorflow/tfjs-core';
import { dispatch, emptyTensor, groupNumber, rowWindows, type View } from '../../backends/webgpu/compute.ts';
import { gpu } from '../../backends/webgpu/device.ts';

const invocations = 256;
/** Values, or vectors of four, that an invocation squares; then come workgroups of their own. */
const perInvocation = 16;

interface Segment {
  isVector: boolean;
  places: number;
  groups: number;
  view: View;
}

/** @param maxNorm where given, what `clipByGlobalNorm` clips to @returns the norm, and the factor (1 without `maxNorm`) */
export function globalNormOnGpu(gradients: readonly tf.Tensor[], maxNorm?: number): { norm: tf.Scalar; scale: tf.Scalar } {
  const segments = gradients.flatMap(segmentsOf);
  const together = gpu().device.limits.maxStorageBuffersPerShaderStage - 1;
  const total = segments.reduce((sum, { groups }) => sum + groups, 0);
  const shares = asTensor(emptyTensor([total]));
  let firstShare = 0;
  for (const isVector of [true, false]) {
    const alike = segments.filter((segment) => segment.isVector === isVector);
    for (let first = 0; first < alike.length; first += together) {
      const some = alike.slice(first, first + together);
      squares(some, shares, firstShare);
      firstShare += some.reduce((sum, { groups }) => sum + groups, 0);
    }
  }
  const [norm, scale] = [emptyTensor([]), emptyTensor([])] as const;
  dispatch({
    name: 'global-norm',
    reads: { shares },
    writes: { norm, scale },
    integers: { total, clips: maxNorm === undefined ? 0 : 1 },
    floats: { maxNorm: maxNorm ?? 0 },
    workgroups: [1, 1, 1],
    code: () => `${sumOverGroup}
@compute @workgroup_size(${invocations}) fn main(@builtin(local_invocation_index) lane : u32) {
  var sum = 0.0;
  for (var i = lane; i < parameters.total; i += ${invocations}u) { sum += shares[i]; }
  let root = sqrt(sumOverGroup(sum, lane));
  if (lane == 0u) {
    norm[0] = root;
    scale[0] = select(1.0, min(1.0, parameters.maxNorm / (root + 1e-6)), parameters.clips == 1u);
  }
}`,
  });
  shares.dispose();
  return { norm: asTensor(norm) as tf.Scalar, scale: asTensor(scale) as tf.Scalar };
}

function segmentsOf(gradient: tf.Tensor): Segment[] {
  const isVector = gradient.size % 4 === 0;
  return rowWindows(gradient.size, 4).map(({ first, rows }) => {
    const places = isVector ? rows / 4 : rows;
    const groups = Math.ceil(places / (invocations * perInvocation));
    return { isVector, places, groups, view: { of: gradient, as: isVector ? 'vec4<f32>' : 'f32', offset: 4 * first, size: 4 * rows } };
  });
}

/** Σ x² of each workgroup's part, into `shares` from `firstShare`. */
function squares(segments: readonly Segment[], shares: tf.Tensor, firstShare: number): void {
  const { isVector } = segments[0]!;
  dispatch({
    name: `global-norm-squares-${isVector ? 4 : 1}x${segments.length}`,
    reads: Object.fromEntries(segments.map(({ view }, i) => [`gradient${i}`, view])),
    writes: { shares },
    integers: {
      firstShare,
      count: segments.reduce((sum, { groups }) => sum + groups, 0),
      ...Object.fromEntries(
        segments.flatMap(({ places, groups }, i) => [
          [`places${i}`, places],
          [`groups${i}`, groups],
        ]),
      ),
    },
    workgroups: segments.reduce((sum, { groups }) => sum + groups, 0),
    code: () => squaresShader(segments.length, isVector),
  });
}

function squaresShader(count: number, isVector: boolean): string {
  const one = (i: number) => `
  if (group < parameters.groups${i}) {
    let last = min(parameters.places${i}, (group + 1u) * ${invocations * perInvocation}u);
    for (var i = group * ${invocations * perInvocation}u + lane; i < last; i += ${invocations}u) { let g = gradient${i}[i]; sum += ${isVector ? 'dot(g, g)' : 'g * g'}; }
  }
  group = select(group - parameters.groups${i}, ${2 ** 31}u, group < parameters.groups${i} || group == ${2 ** 31}u);`;
  return `${groupNumber}${sumOverGroup}
@compute @workgroup_size(${invocations}) fn main(
  @builtin(workgroup_id) id : vec3<u32>, @builtin(num_workgroups) counts : vec3<u32>, @builtin(local_invocation_index) lane : u32
) {
  let number = groupNumber(id, counts);
  var group = number;
  var sum = 0.0;
${Array.from({ length: count }, (_, i) => one(i)).join('')}
  let total = sumOverGroup(sum, lane);
  if (lane == 0u && number < parameters.count) { shares[parameters.firstShare + number] = total; }
}`;
}

const sumOverGroup = `
var<workgroup> partial : array<f32, ${invocations}>;
fn sumOverGroup(value : f32, lane : u32) -> f32 {
  partial[lane] = value;
  workgroupBarrier();
  for (var stride = ${invocations / 2}u; stride > 0u; stride >>= 1u) {
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
    workgroupBarrier();
  }
  return partial[0];
}`;

function asTensor(info: tf.TensorInfo): tf.Tensor {
  return tf.engine().makeTensorFromTensorInfo(info);
}
