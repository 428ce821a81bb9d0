/** AdamW in place, and the sum of squares that gradient clipping needs. */
import { at, fma } from './math';

/**
 * g = gradient · gradientScale; mean ← β₁·mean + (1−β₁)·g; square ← β₂·square + (1−β₂)·g²;
 * parameter ← keep · parameter − rate · mean / (√(square · correction) + epsilon). Items are values; `from` is a multiple of 4.
 */
export function adamW(
  _thread: i32,
  from: i32,
  to: i32,
  parameter: usize,
  gradient: usize,
  mean: usize,
  square: usize,
  gradientScale: f32,
  beta1: f32,
  beta2: f32,
  rest1: f32,
  rest2: f32,
  epsilon: f32,
  rate: f32,
  correction: f32,
  keep: f32,
): void {
  const whole = to & ~3;
  const scale4 = f32x4.splat(gradientScale);
  const b1 = f32x4.splat(beta1);
  const b2 = f32x4.splat(beta2);
  const r1 = f32x4.splat(rest1);
  const r2 = f32x4.splat(rest2);
  const e4 = f32x4.splat(epsilon);
  const rate4 = f32x4.splat(-rate);
  const c4 = f32x4.splat(correction);
  const keep4 = f32x4.splat(keep);
  for (let i = from; i < whole; i += 4) {
    const g = f32x4.mul(v128.load(at(gradient, i)), scale4);
    const m = fma(v128.load(at(mean, i)), b1, f32x4.mul(g, r1));
    const v = fma(v128.load(at(square, i)), b2, f32x4.mul(f32x4.mul(g, g), r2));
    v128.store(at(mean, i), m);
    v128.store(at(square, i), v);
    const step = f32x4.div(m, f32x4.add(f32x4.sqrt(f32x4.mul(v, c4)), e4));
    v128.store(at(parameter, i), fma(step, rate4, f32x4.mul(v128.load(at(parameter, i)), keep4)));
  }
  for (let i = whole; i < to; i++) {
    const g = load<f32>(at(gradient, i)) * gradientScale;
    const m = load<f32>(at(mean, i)) * beta1 + g * rest1;
    const v = load<f32>(at(square, i)) * beta2 + g * g * rest2;
    store<f32>(at(mean, i), m);
    store<f32>(at(square, i), v);
    store<f32>(at(parameter, i), load<f32>(at(parameter, i)) * keep - rate * (m / (sqrt<f32>(v * correction) + epsilon)));
  }
}

/** Σ x², in double precision. */
export function sumOfSquares(x: usize, count: i32): f64 {
  const whole = count & ~3;
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  for (let i = 0; i < whole; i += 4) {
    const v = v128.load(at(x, i));
    const first = f64x2.promote_low_f32x4(v);
    const second = f64x2.promote_low_f32x4(i32x4.shuffle(v, v, 2, 3, 0, 1));
    low = f64x2.add(low, f64x2.mul(first, first));
    high = f64x2.add(high, f64x2.mul(second, second));
  }
  const sums = f64x2.add(low, high);
  let total = f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1);
  for (let i = whole; i < count; i++) total += <f64>load<f32>(at(x, i)) * <f64>load<f32>(at(x, i));
  return total;
}
