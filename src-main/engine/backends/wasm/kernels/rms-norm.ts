/** RMSNorm of rows and its gradient. */
import { at, fma, sumLanes } from './math';

/** y = x · rstd · weight with rstd = 1/√(mean x² + epsilon), kept for the backward pass. x, y [rows, size]; rstd [rows] */
export function rmsNormForward(x: usize, weight: usize, y: usize, rstd: usize, rows: i32, size: i32, epsilon: f32): void {
  const whole = size & ~3;
  for (let row = 0; row < rows; row++) {
    const from = at(x, row * size);
    const to = at(y, row * size);
    let squares = f32x4.splat(0);
    for (let j = 0; j < whole; j += 4) {
      const v = v128.load(at(from, j));
      squares = fma(v, v, squares);
    }
    let total = sumLanes(squares);
    for (let j = whole; j < size; j++) total += load<f32>(at(from, j)) * load<f32>(at(from, j));
    const r: f32 = 1 / sqrt<f32>(total / <f32>size + epsilon);
    store<f32>(at(rstd, row), r);
    const factor = f32x4.splat(r);
    for (let j = 0; j < whole; j += 4) {
      v128.store(at(to, j), f32x4.mul(f32x4.mul(v128.load(at(from, j)), factor), v128.load(at(weight, j))));
    }
    for (let j = whole; j < size; j++) store<f32>(at(to, j), load<f32>(at(from, j)) * r * load<f32>(at(weight, j)));
  }
}

/** dx = rstd · (dy·w − x · rstd² · mean(dy·w·x)); dWeight = Σ rows dy · x · rstd */
export function rmsNormBackward(x: usize, weight: usize, dy: usize, rstd: usize, dx: usize, dWeight: usize, rows: i32, size: i32): void {
  const whole = size & ~3;
  memory.fill(dWeight, 0, (<usize>size) << 2);
  for (let row = 0; row < rows; row++) {
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
