/**
 * Fake quantization of rows with a scale each: activations, keys and values. A quantizer lies in memory as eight floats: divisor of the range,
 * lowest and highest code, factors of the largest and smallest value, outlier threshold (infinity for none), 1 for symmetric, unused.
 * The order of operations is that of the composed op, so both give the same bits.
 */
import { at, maxLanes } from './math';

/** Scale and zero point of the row that `readGrid` looked at last; a module's instance belongs to one thread. */
let gridScale: f32 = 1;
let gridZero: f32 = 0;

/** The range of what is not an outlier, in two chains so that neither waits for the other. */
function readGrid(x: usize, size: i32, quantizer: usize): void {
  const threshold = load<f32>(quantizer, 20);
  const limit = f32x4.splat(threshold);
  const eights = size & ~7;
  const whole = size & ~3;
  let high4 = f32x4.splat(0);
  let low4 = f32x4.splat(0);
  let high4b = f32x4.splat(0);
  let low4b = f32x4.splat(0);
  for (let j = 0; j < eights; j += 8) {
    const v = keptLanes(v128.load(at(x, j)), limit);
    const w = keptLanes(v128.load(at(x, j), 16), limit);
    high4 = f32x4.pmax(high4, v);
    low4 = f32x4.pmin(low4, v);
    high4b = f32x4.pmax(high4b, w);
    low4b = f32x4.pmin(low4b, w);
  }
  if (eights < whole) {
    const v = keptLanes(v128.load(at(x, eights)), limit);
    high4 = f32x4.pmax(high4, v);
    low4 = f32x4.pmin(low4, v);
  }
  let high = maxLanes(f32x4.pmax(high4, high4b));
  let low = -maxLanes(f32x4.neg(f32x4.pmin(low4, low4b)));
  for (let j = whole; j < size; j++) {
    const v = load<f32>(at(x, j));
    if (abs(v) < threshold) {
      high = max(high, v);
      low = min(low, v);
    }
  }
  high *= load<f32>(quantizer, 12);
  low *= load<f32>(quantizer, 16);
  const symmetric = load<f32>(quantizer, 24) !== 0;
  const width: f32 = (symmetric ? max<f32>(high, -low) : high - low) / load<f32>(quantizer);
  gridScale = width > 0 ? width : 1;
  gridZero = symmetric ? 0 : nearest<f32>(-low / gridScale);
}

/** Outliers, infinities and NaN become 0. */
function keptLanes(v: v128, limit: v128): v128 {
  return v128.and(v, f32x4.lt(f32x4.abs(v), limit));
}

/** One row of `size` values; x and y may be the same place. What is infinite or NaN stays so. */
export function quantizeRow(x: usize, y: usize, size: i32, quantizer: usize): void {
  readGrid(x, size, quantizer);
  const scale = gridScale;
  const zero = gridZero;
  const lowest = load<f32>(quantizer, 4);
  const highest = load<f32>(quantizer, 8);
  const threshold = load<f32>(quantizer, 20);
  const whole = size & ~3;
  const s = f32x4.splat(scale);
  const z = f32x4.splat(zero);
  const lowest4 = f32x4.splat(lowest);
  const highest4 = f32x4.splat(highest);
  const limit = f32x4.splat(threshold);
  for (let j = 0; j < whole; j += 4) {
    const v = v128.load(at(x, j));
    const code = f32x4.add(f32x4.nearest(f32x4.div(v, s)), z);
    const value = f32x4.mul(f32x4.sub(f32x4.pmax(f32x4.pmin(code, highest4), lowest4), z), s);
    v128.store(at(y, j), v128.bitselect(value, v, f32x4.lt(f32x4.abs(v), limit)));
  }
  for (let j = whole; j < size; j++) {
    const v = load<f32>(at(x, j));
    const code = nearest<f32>(v / scale) + zero;
    store<f32>(at(y, j), abs(v) < threshold ? (max(min(code, highest), lowest) - zero) * scale : v);
  }
}

/** dx = dy where the code was not clipped, and at outliers; 0 elsewhere. Scale and zero point are constants. */
export function quantizeTokensBackward(
  _thread: i32,
  from: i32,
  to: i32,
  x: usize,
  dy: usize,
  dx: usize,
  quantizer: usize,
  size: i32,
): void {
  const lowest = load<f32>(quantizer, 4);
  const highest = load<f32>(quantizer, 8);
  const threshold = load<f32>(quantizer, 20);
  for (let row = from; row < to; row++) {
    readGrid(at(x, row * size), size, quantizer);
    for (let j = row * size; j < (row + 1) * size; j++) {
      const v = load<f32>(at(x, j));
      const code = nearest<f32>(v / gridScale) + gridZero;
      const passes = (code >= lowest && code <= highest) || abs(v) >= threshold;
      store<f32>(at(dx, j), passes ? load<f32>(at(dy, j)) : 0);
    }
  }
}

/** Rows from … to − 1 of x [rows, size] into y; both may be the same place. */
export function quantizeTokens(_thread: i32, from: i32, to: i32, x: usize, y: usize, quantizer: usize, size: i32): void {
  for (let row = from; row < to; row++) quantizeRow(at(x, row * size), at(y, row * size), size, quantizer);
}
