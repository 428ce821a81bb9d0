/** Products of large float32 matrices in bfloat16, for those who choose half precision: what tensor cores, and processors with AVX512-BF16 or AMX, are made for. */
import * as tf from '@tensorflow/tfjs-core';
import type { Attribute, NativeBackend } from './kernels.ts';

/** TensorFlow's numbers of the types; the binding names the first alone. */
const types = { float32: 1, bfloat16: 14 } as const;
type TypeName = keyof typeof types;

/** Multiplications below which rounding the factors takes longer than it saves. */
const fewest = 2 ** 26;

let half = false;

/** From now on, rounds the factors of large products to bfloat16, or does not. */
export function setHalfProducts(chosen: boolean): void {
  half = chosen;
}

/** Replaces the package's kernel, which still computes everything that is not to be rounded. */
export function registerMatMul(): void {
  const whole = tf.getKernel('BatchMatMul', 'tensorflow').kernelFunc;
  tf.unregisterKernel('BatchMatMul', 'tensorflow');
  tf.registerKernel({
    kernelName: 'BatchMatMul',
    backendName: 'tensorflow',
    kernelFunc: (call) => {
      const { a, b } = call.inputs as Record<'a' | 'b', tf.TensorInfo>;
      const { transposeA, transposeB } = call.attrs as unknown as Record<'transposeA' | 'transposeB', boolean>;
      const columns = b.shape.at(transposeB ? -2 : -1)!;
      const isLarge = tf.util.sizeFromShape(a.shape) * columns >= fewest;
      if (!half || !isLarge || a.dtype !== 'float32' || b.dtype !== 'float32') return whole(call);
      return halfProduct(call.backend as NativeBackend, [a, b], transposeA, transposeB);
    },
  });
}

/** Single-precision sums of products of bfloat16 factors, rounded to bfloat16 once more as TensorFlow's kernel ends. */
function halfProduct(
  backend: NativeBackend,
  factors: [tf.TensorInfo, tf.TensorInfo],
  transposeA: boolean,
  transposeB: boolean,
): tf.TensorInfo {
  const { binding } = backend;
  const type = (name: string, value: TypeName): Attribute => ({ name, type: binding.TF_ATTR_TYPE, value: types[value] });
  const flag = (name: string, value: boolean): Attribute => ({ name, type: binding.TF_ATTR_BOOL, value });
  const held: number[] = [];
  const execute = (op: string, attributes: Attribute[], inputs: number[]) => {
    const [result] = binding.executeOp(op, attributes, inputs, 1);
    held.push(result!.id);
    return result!;
  };
  const cast = (id: number, from: TypeName, to: TypeName) =>
    execute('Cast', [type('SrcT', from), type('DstT', to), flag('Truncate', false)], [id]);
  try {
    const [a, b] = backend.getInputTensorIds(factors).map((id) => cast(id, 'float32', 'bfloat16').id);
    const product = execute('BatchMatMulV2', [type('T', 'bfloat16'), flag('adj_x', transposeA), flag('adj_y', transposeB)], [a!, b!]);
    const result = cast(product.id, 'bfloat16', 'float32');
    held.pop();
    return backend.createOutputTensor(result);
  } finally {
    for (const id of held) binding.deleteTensor(id);
  }
}
