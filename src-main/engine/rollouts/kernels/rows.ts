/**
 * What happens between the matrix products of a decode step, row by row: embedding, residual addition with RMSNorm, and the gated unit of
 * the MLP. A row's result depends on that row alone. Sizes are multiples of 4.
 */
import { at, fma, sumLanes } from '../../backends/wasm/kernels/math';
import { silu4 } from './exponential';

/** x[row] = table[ids[row]], y = RMSNorm(x) · weight; x, y [rows, size] */
export function embedAndNormalize(table: usize, ids: usize, x: usize, weight: usize, y: usize, rows: i32, size: i32, epsilon: f32): void {
  for (let row = 0; row < rows; row++) {
    const to = at(x, row * size);
    memory.copy(to, table + ((<usize>load<i32>(at(ids, row)) * <usize>size) << 2), (<usize>size) << 2);
    normalizeRow(to, weight, at(y, row * size), size, epsilon);
  }
}

/** x += delta, y = RMSNorm(x) · weight; x, delta, y [rows, size] */
export function addAndNormalize(x: usize, delta: usize, weight: usize, y: usize, rows: i32, size: i32, epsilon: f32): void {
  for (let row = 0; row < rows; row++) {
    addRow(at(x, row * size), at(delta, row * size), size);
    normalizeRow(at(x, row * size), weight, at(y, row * size), size, epsilon);
  }
}

/** The same for the rows listed in `selected` [count]; y [count, size] */
export function addAndNormalizeSelected(
  x: usize,
  delta: usize,
  selected: usize,
  weight: usize,
  y: usize,
  count: i32,
  size: i32,
  epsilon: f32,
): void {
  for (let i = 0; i < count; i++) {
    const row = load<i32>(at(selected, i));
    addRow(at(x, row * size), at(delta, row * size), size);
    normalizeRow(at(x, row * size), weight, at(y, i * size), size, epsilon);
  }
}

/** y = silu(gate) · up of gateUp [rows, 2 · size], gate first; y [rows, size] */
export function gatedUnits(gateUp: usize, y: usize, rows: i32, size: i32): void {
  for (let row = 0; row < rows; row++) {
    const gate = at(gateUp, row * 2 * size);
    const up = at(gate, size);
    const to = at(y, row * size);
    for (let j = 0; j < size; j += 4) {
      v128.store(at(to, j), f32x4.mul(silu4(v128.load(at(gate, j))), v128.load(at(up, j))));
    }
  }
}

function addRow(x: usize, delta: usize, size: i32): void {
  for (let j = 0; j < size; j += 4) v128.store(at(x, j), f32x4.add(v128.load(at(x, j)), v128.load(at(delta, j))));
}

/** y = x / √(mean x² + epsilon) · weight over `size` values; x and y may be the same place. */
export function normalizeRow(x: usize, weight: usize, y: usize, size: i32, epsilon: f32): void {
  let squares = f32x4.splat(0);
  for (let j = 0; j < size; j += 4) {
    const v = v128.load(at(x, j));
    squares = fma(v, v, squares);
  }
  const factor = f32x4.splat(1 / sqrt<f32>(sumLanes(squares) / <f32>size + epsilon));
  for (let j = 0; j < size; j += 4) v128.store(at(y, j), f32x4.mul(f32x4.mul(v128.load(at(x, j)), factor), v128.load(at(weight, j))));
}
