/**
 * Writing kernels for the webgpu backend. tfjs runs any object of this shape: it prepends bindings (`result`, then the inputs by name),
 * uniforms and built-ins to our WGSL and records the dispatch. One output per program; kernels with several run several.
 */
import * as tf from '@tensorflow/tfjs-core';

/** What we use of tfjs-backend-webgpu's backend object (4.22.0). */
interface WebGpuBackend {
  runWebGPUProgram(program: object, inputs: tf.TensorInfo[], dtype: tf.DataType, uniforms: UniformValue[]): tf.TensorInfo;
}

interface UniformValue {
  type: 'int32' | 'float32';
  data: number[];
}

export interface WgslProgram {
  /** Identifies the compiled shader; code that differs needs another name. */
  name: string;
  outputShape: readonly number[];
  /** In the order and by the names the code uses. */
  inputs: Record<string, tf.TensorInfo>;
  /** Workgroups of 64 invocations. */
  workgroups: number;
  /** Read in the code as `uniforms.<name>`. */
  integers?: Record<string, number>;
  floats?: Record<string, number>;
  /** Function bodies and `fn main(index : i32)`. `group()` is the workgroup's number, `sumOverGroup(v)` adds v over its invocations. */
  code: string;
}

export const groupSize = 64;

/** WGSL shared by all programs. Dispatches of more groups than one dimension holds are folded, so the number is put together here. */
const library = `
var<workgroup> partial : array<f32, ${groupSize}>;
fn group() -> i32 {
  return i32((workgroupId.z * numWorkgroups.y + workgroupId.y) * numWorkgroups.x + workgroupId.x);
}
fn sumOverGroup(value : f32) -> f32 {
  partial[localIndex] = value;
  workgroupBarrier();
  for (var stride = ${groupSize / 2}u; stride > 0u; stride = stride >> 1u) {
    if (localIndex < stride) { partial[localIndex] += partial[localIndex + stride]; }
    workgroupBarrier();
  }
  let total = partial[0];
  workgroupBarrier();
  return total;
}
`;

/** Registers a kernel of the webgpu backend. */
export function registerWebGpuKernel(
  kernelName: string,
  run: (call: { inputs: Record<string, tf.TensorInfo>; attributes: Record<string, unknown>; run: RunProgram }) => tf.TensorInfo[],
): void {
  tf.registerKernel({
    kernelName,
    backendName: 'webgpu',
    kernelFunc: ({ inputs, attrs, backend }) =>
      run({
        inputs: inputs as Record<string, tf.TensorInfo>,
        attributes: (attrs ?? {}) as Record<string, unknown>,
        run: (program) => runProgram(backend as WebGpuBackend, program),
      }),
  });
}

export type RunProgram = (program: WgslProgram) => tf.TensorInfo;

function runProgram(backend: WebGpuBackend, spec: WgslProgram): tf.TensorInfo {
  const { integers = {}, floats = {} } = spec;
  const declare = (type: string) => (name: string) => `${name} : ${type},`;
  const program = {
    variableNames: Object.keys(spec.inputs),
    outputShape: [...spec.outputShape],
    workgroupSize: [groupSize, 1, 1],
    dispatchLayout: { x: [0], y: [], z: [] },
    dispatch: [spec.workgroups, 1, 1],
    uniforms: [...Object.keys(integers).map(declare('i32')), ...Object.keys(floats).map(declare('f32'))].join(' '),
    shaderKey: `roundoff-${spec.name}`,
    getUserCode: () => library + spec.code,
  };
  const uniforms: UniformValue[] = [
    ...Object.values(integers).map((value): UniformValue => ({ type: 'int32', data: [value] })),
    ...Object.values(floats).map((value): UniformValue => ({ type: 'float32', data: [value] })),
  ];
  return backend.runWebGPUProgram(program, Object.values(spec.inputs), 'float32', uniforms);
}
