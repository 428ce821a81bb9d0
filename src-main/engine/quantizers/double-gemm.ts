/**
 * Matrix products in float64 by ONNX Runtime's native GEMM, on the memory of ordinary typed arrays. The bits of a result do not depend on
 * the number of threads as long as the depth is at most `deepest`: MLAS then adds each entry's products in one go, wherever it cuts rows
 * and columns.
 */
import { availableParallelism } from 'node:os';
import { type ElementType, singleNodeModel } from '../backends/wasm/onnx-model.ts';
import { type NativePointer, onnxRuntime } from '../backends/wasm/onnx-runtime.ts';

/** MLAS covers the depth of a float64 product in steps of at least this. */
export const deepest = 128;

/** op(A) [rows, depth] times op(B) [depth, columns], all dense and row-major at the beginning of their arrays. */
export interface Product {
  a: Float64Array;
  b: Float64Array;
  rows: number;
  columns: number;
  depth: number;
  /** A is stored [depth, rows]. */
  transA?: boolean;
  /** B is stored [columns, depth]. */
  transB?: boolean;
}

interface Session {
  pointer: NativePointer;
  inputNames: BigUint64Array;
  outputNames: BigUint64Array;
  inputs: BigUint64Array;
}

const type: ElementType = 'float64';
const threads = Math.max(1, Math.min(16, availableParallelism()));
const sessions = new Map<string, Session>();
const outputs = new BigUint64Array(1);

/** target [rows, columns] = op(A)·op(B). `target` shares no memory with A and B. */
export function assignProduct(target: Float64Array, product: Product): void {
  run(target, product, false);
}

/** target [rows, columns] −= op(A)·op(B). `target` shares no memory with A and B. */
export function subtractProduct(target: Float64Array, product: Product): void {
  run(target, product, true);
}

function run(target: Float64Array, product: Product, subtract: boolean): void {
  const { a, b, rows, columns, depth, transA = false, transB = false } = product;
  if (rows === 0 || columns === 0 || depth === 0) return;
  const { pointer, inputs, inputNames, outputNames } = session(transA, transB, subtract);
  inputs[0] = tensor(a, transA ? depth : rows, transA ? rows : depth);
  inputs[1] = tensor(b, transB ? columns : depth, transB ? depth : columns);
  outputs[0] = tensor(target, rows, columns);
  if (subtract) inputs[2] = outputs[0];
  const runtime = onnxRuntime();
  try {
    runtime.run(pointer, inputNames, inputs, outputNames, outputs);
  } finally {
    for (const operand of [inputs[0], inputs[1], outputs[0]]) runtime.releaseTensor(operand);
  }
}

function tensor(values: Float64Array, rows: number, columns: number): NativePointer {
  const sizeBytes = 8 * rows * columns;
  return onnxRuntime().createTensor(new Uint8Array(values.buffer, values.byteOffset, sizeBytes), sizeBytes, [rows, columns], type);
}

function session(transA: boolean, transB: boolean, subtract: boolean): Session {
  const key = `${transA} ${transB} ${subtract}`;
  const known = sessions.get(key);
  if (known) return known;
  const names = subtract ? ['a', 'b', 'c'] : ['a', 'b'];
  const ints = { transA: Number(transA), transB: Number(transB) };
  const floats = subtract ? { alpha: -1, beta: 1 } : { alpha: 1, beta: 0 };
  const info = (name: string) => ({ name, dims: [`${name}0`, `${name}1`], type });
  const model = singleNodeModel({ op: 'Gemm', inputs: names, outputs: ['y'], ints, floats }, names.map(info), [info('y')]);
  const runtime = onnxRuntime();
  const created = {
    pointer: runtime.createSession(model, threads),
    inputNames: runtime.createNames(names),
    outputNames: runtime.createNames(['y']),
    inputs: new BigUint64Array(names.length),
  };
  sessions.set(key, created);
  return created;
}
