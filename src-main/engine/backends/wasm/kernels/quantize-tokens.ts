/**
 * Fake quantization of rows with a scale each: activations, keys and values. A quantizer lies in memory as eight floats: divisor of the range,
 * lowest and highest code, factors of the largest and smallest value, outlier threshold (infinity for none), 1 for symmetric, unused.
 * The order of operations is that of the composed op, so both give the same bits.
 */
import { at, maxLanes } from './math';

/** One row of `size` values; x and y may be the same place. */
export function quantizeRow(x: usize, y: usize, size: i32, quantizer: usize): void {
  const divisor = load<f32>(quantizer);
  const lowest = load<f32>(quantizer, 4);
  const highest = load<f32>(quantizer, 8);
  const threshold = load<f32>(quantizer, 20);
  const symmetric = load<f32>(quantizer, 24) !== 0;
  const whole = size & ~3;
  const limit = f32x4.splat(threshold);
  let high4 = f32x4.splat(0);
  let low4 = f32x4.splat(0);
  for (let j = 0; j < whole; j += 4) {
    const v = v128.load(at(x, j));
    const kept = v128.and(v, f32x4.lt(f32x4.abs(v), limit));
    high4 = f32x4.max(high4, kept);
    low4 = f32x4.max(low4, f32x4.neg(kept));
  }
  let high = maxLanes(high4);
  let low = maxLanes(low4);
  for (let j = whole; j < size; j++) {
    const v = load<f32>(at(x, j));
    if (abs(v) < threshold) {
      high = max(high, v);
      low = max(low, -v);
    }
  }
  high *= load<f32>(quantizer, 12);
  low = -low * load<f32>(quantizer, 16);
  const width: f32 = (symmetric ? max<f32>(high, -low) : high - low) / divisor;
  const scale: f32 = width > 0 ? width : 1;
  const zero: f32 = symmetric ? 0 : nearest<f32>(-low / scale);
  const s = f32x4.splat(scale);
  const z = f32x4.splat(zero);
  const lowest4 = f32x4.splat(lowest);
  const highest4 = f32x4.splat(highest);
  for (let j = 0; j < whole; j += 4) {
    const v = v128.load(at(x, j));
    const code = f32x4.add(f32x4.nearest(f32x4.div(v, s)), z);
    const value = f32x4.mul(f32x4.sub(f32x4.max(f32x4.min(code, highest4), lowest4), z), s);
    v128.store(at(y, j), v128.bitselect(value, v, f32x4.lt(f32x4.abs(v), limit)));
  }
  for (let j = whole; j < size; j++) {
    const v = load<f32>(at(x, j));
    const code = nearest<f32>(v / scale) + zero;
    store<f32>(at(y, j), abs(v) < threshold ? (max(min(code, highest), lowest) - zero) * scale : v);
  }
}

/** Rows from … to − 1 of x [rows, size] into y; both may be the same place. */
export function quantizeTokens(_thread: i32, from: i32, to: i32, x: usize, y: usize, quantizer: usize, size: i32): void {
  for (let row = from; row < to; row++) quantizeRow(at(x, row * size), at(y, row * size), size, quantizer);
}
