/** Orthogonal transforms of weight matrices in float64: rows times left ⊗ right, on the input or on the output side. */
import type { KroneckerTransform } from '../model/layer-activations.ts';
import { assignProduct } from './double-gemm.ts';
import type { HadamardFactors } from './hadamard.ts';

/** A transform of row vectors: multiplied by signs, then by left ⊗ right; null factors are identities. */
export interface Rotation {
  rows: number;
  columns: number;
  left: Float64Array | null;
  right: Float64Array | null;
  /** ±1 per component, or null. */
  signs: Float64Array | null;
}

export function rotationOf(factors: HadamardFactors, signs: Float64Array | null = null): Rotation {
  return { ...factors, signs };
}

/** What the model multiplies activations by; without signs. */
export function toTransform({ rows, columns, left, right }: Rotation): KroneckerTransform {
  return { rows, columns, left: left && Float32Array.from(left), right: right && Float32Array.from(right) };
}

/** values [count, rows · columns] → every row times the rotation, in place. */
export function rotateRows(values: Float64Array, rotation: Rotation): void {
  const { rows, columns, left, right, signs } = rotation;
  const size = rows * columns;
  const count = values.length / size;
  if (signs) for (let i = 0; i < values.length; i++) values[i]! *= signs[i % size]!;
  const scratch = new Float64Array(values.length);
  if (right) {
    assignProduct(scratch, { a: values, b: right, rows: count * rows, columns, depth: columns });
    values.set(scratch);
  }
  if (left) {
    swapInner(values, scratch, count, rows, columns);
    assignProduct(values, { a: scratch, b: left, rows: count * columns, columns: rows, depth: rows });
    scratch.set(values);
    swapInner(scratch, values, count, columns, rows);
  }
}

/** A weight [out, in] whose inputs are multiplied by the rotation: rows of W times it. */
export function rotateInputs(weight: Float64Array, rotation: Rotation): void {
  rotateRows(weight, rotation);
}

/** A weight [out, in] whose outputs are to be multiplied by the rotation: columns of W times it. `out` = blocks · rotation size. */
export function rotateOutputs(weight: Float64Array, outFeatures: number, rotation: Rotation): void {
  const inFeatures = weight.length / outFeatures;
  const transposed = new Float64Array(weight.length);
  swapInner(weight, transposed, 1, outFeatures, inFeatures);
  rotateRows(transposed, rotation);
  swapInner(transposed, weight, 1, inFeatures, outFeatures);
}

/** [count, a, b] → [count, b, a] */
function swapInner(source: Float64Array, target: Float64Array, count: number, a: number, b: number): void {
  for (let block = 0; block < count; block++) {
    const base = block * a * b;
    for (let i = 0; i < a; i++) for (let j = 0; j < b; j++) target[base + j * a + i] = source[base + i * b + j]!;
  }
}
