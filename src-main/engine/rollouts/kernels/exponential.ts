/**
 * The exponential the decode kernels spend much of their time in: range reduction by adding and subtracting 1.5 · 2²³, which leaves the rounded
 * exponent in the low bits, then a degree-6 polynomial (Cephes expf), about 1 unit in the last place.
 */
import { fma } from '../../backends/wasm/kernels/math';

/** eˣ; x below −87 counts as −87. x must not exceed 88. NaN stays NaN. */
export function exponential4(value: v128): v128 {
  const x = f32x4.pmax(value, f32x4.splat(-87));
  const magic = f32x4.splat(12582912);
  const shifted = fma(x, f32x4.splat(<f32>Math.LOG2E), magic);
  const n = f32x4.sub(shifted, magic);
  const r = fma(n, f32x4.splat(2.1219444e-4), fma(n, f32x4.splat(-0.693359375), x));
  let p = fma(f32x4.splat(1.98756915e-4), r, f32x4.splat(1.39819995e-3));
  p = fma(p, r, f32x4.splat(8.33345205e-3));
  p = fma(p, r, f32x4.splat(4.16657962e-2));
  p = fma(p, r, f32x4.splat(1.66666657e-1));
  p = fma(p, r, f32x4.splat(0.5));
  p = fma(p, f32x4.mul(r, r), f32x4.add(r, f32x4.splat(1)));
  return i32x4.add(p, i32x4.shl(shifted, 23));
}

/** x / (1 + e⁻ˣ) */
export function silu4(x: v128): v128 {
  const power = exponential4(f32x4.pmin(f32x4.neg(x), f32x4.splat(87)));
  return f32x4.div(x, f32x4.add(f32x4.splat(1), power));
}
