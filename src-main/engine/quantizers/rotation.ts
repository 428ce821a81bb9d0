/** Orthogonal transforms of weight matrices in float64: rows times left ⊗ right, on the input or on the output side. */
import type { KroneckerTransform } from '../model/layer-activations.ts';
import { assignProduct, deepest } from './double-gemm.ts';
import type { BlockFactors } from './hadamard.ts';

/** A transform of row vectors: multiplied by signs, then by left ⊗ right; null factors are identities. */
export interface Rotation {
  rows: number;
  columns: number;
  left: Float64Array | null;
  right: Float64Array | null;
  /** ±1 per component, or null. */
  signs: Float64Array | null;
}

export function rotationOf({ rows, columns, left, right }: Omit<BlockFactors, 'blocks'>, signs: Float64Array | null = null): Rotation {
  return { rows, columns, left, right, signs };
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
    multiply(scratch, values, right, count * rows, columns);
    values.set(scratch);
  }
  if (left) {
    swapInner(values, scratch, count, rows, columns);
    multiply(values, scratch, left, count * columns, rows);
    scratch.set(values);
    swapInner(scratch, values, count, columns, rows);
  }
}

/** target = a [rows, size] · b [size, size], in slices no deeper than `deepest`: the same bits for any number of threads. */
function multiply(target: Float64Array, a: Float64Array, b: Float64Array, rows: number, size: number): void {
  if (size <= deepest) {
    assignProduct(target, { a, b, rows, columns: size, depth: size });
    return;
  }
  const partial = new Float64Array(target.length);
  target.fill(0);
  for (let start = 0; start < size; start += deepest) {
    const depth = Math.min(deepest, size - start);
    const slice = new Float64Array(rows * depth);
    for (let row = 0; row < rows; row++) slice.set(a.subarray(row * size + start, row * size + start + depth), row * depth);
    assignProduct(partial, { a: slice, b: b.subarray(start * size, (start + depth) * size), rows, columns: size, depth });
    for (let i = 0; i < target.length; i++) target[i]! += partial[i]!;
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
