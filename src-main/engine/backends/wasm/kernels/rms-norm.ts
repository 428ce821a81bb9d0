/** RMSNorm of rows and its gradient. */
import { at, fma, sumLanes } from './math';

/** y = x · rstd · weight with rstd = 1/√(mean x² + epsilon), kept for the backward pass. x, y [rows, size]; rstd [rows]. Items are rows. */
export function rmsNormForward(
  _thread: i32,
  from: i32,
  to: i32,
  x: usize,
  weight: usize,
  y: usize,
  rstd: usize,
  size: i32,
  epsilon: f32,
): void {
  const whole = size & ~3;
  for (let row = from; row < to; row++) {
    const xRow = at(x, row * size);
    const yRow = at(y, row * size);
    let squares = f32x4.splat(0);
    for (let j = 0; j < whole; j += 4) {
      const v = v128.load(at(xRow, j));
      squares = fma(v, v, squares);
    }
    let total = sumLanes(squares);
    for (let j = whole; j < size; j++) total += load<f32>(at(xRow, j)) * load<f32>(at(xRow, j));
    const r: f32 = 1 / sqrt<f32>(total / <f32>size + epsilon);
    store<f32>(at(rstd, row), r);
    const factor = f32x4.splat(r);
    for (let j = 0; j < whole; j += 4) {
      v128.store(at(yRow, j), f32x4.mul(f32x4.mul(v128.load(at(xRow, j)), factor), v128.load(at(weight, j))));
    }
    for (let j = whole; j < size; j++) store<f32>(at(yRow, j), load<f32>(at(xRow, j)) * r * load<f32>(at(weight, j)));
  }
}

/** Rows whose share of the weight's gradient is summed on its own, so that the sum does not depend on the number of threads. */
export const rmsNormBlockRows: i32 = 64;

/**
 * dx = rstd · (dy·w − x · rstd² · mean(dy·w·x)); partial [blocks, size] = Σ over a block's rows of dy · x · rstd. Items are blocks of
 * `rmsNormBlockRows` rows.
 */
export function rmsNormBackward(
  _thread: i32,
  from: i32,
  to: i32,
  x: usize,
  weight: usize,
  dy: usize,
  rstd: usize,
  dx: usize,
  partial: usize,
  rows: i32,
  size: i32,
): void {
  for (let block = from; block < to; block++) {
    const first = block * rmsNormBlockRows;
    backwardRows(first, min(first + rmsNormBlockRows, rows), x, weight, dy, rstd, dx, at(partial, block * size), size);
  }
}

function backwardRows(first: i32, last: i32, x: usize, weight: usize, dy: usize, rstd: usize, dx: usize, dWeight: usize, size: i32): void {
  const whole = size & ~3;
  memory.fill(dWeight, 0, (<usize>size) << 2);
  for (let row = first; row < last; row++) {
    const xRow = at(x, row * size);
    const dyRow = at(dy, row * size);
    const dxRow = at(dx, row * size);
    const r = load<f32>(at(rstd, row));
    const factor = f32x4.splat(r);
    let products = f32x4.splat(0);
    for (let j = 0; j < whole; j += 4) {
      const xv = v128.load(at(xRow, j));
      const gx = f32x4.mul(v128.load(at(dyRow, j)), xv);
      products = fma(gx, v128.load(at(weight, j)), products);
      v128.store(at(dWeight, j), fma(gx, factor, v128.load(at(dWeight, j))));
    }
    let total = sumLanes(products);
    for (let j = whole; j < size; j++) {
      const gx = load<f32>(at(dyRow, j)) * load<f32>(at(xRow, j));
      total += gx * load<f32>(at(weight, j));
      store<f32>(at(dWeight, j), load<f32>(at(dWeight, j)) + gx * r);
    }
    const pull: f32 = -(total / <f32>size) * r * r;
    const pull4 = f32x4.splat(pull);
    for (let j = 0; j < whole; j += 4) {
      const gw = f32x4.mul(v128.load(at(dyRow, j)), v128.load(at(weight, j)));
      v128.store(at(dxRow, j), f32x4.mul(factor, fma(v128.load(at(xRow, j)), pull4, gw)));
    }
    for (let j = whole; j < size; j++) {
      const gw = load<f32>(at(dyRow, j)) * load<f32>(at(weight, j));
      store<f32>(at(dxRow, j), r * (gw + load<f32>(at(xRow, j)) * pull));
    }
  }
}
