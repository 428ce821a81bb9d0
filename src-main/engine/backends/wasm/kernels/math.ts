/**
 * Vector mathematics the kernels share: fused multiply-add, exponential, logarithm, reductions. No tables and no library calls, so the
 * module has no data segment and gives the same bits on every machine with fused multiply-add.
 */

export function fma(a: v128, b: v128, c: v128): v128 {
  return f32x4.relaxed_madd(a, b, c);
}

/** Address of float `index` after `base`. */
export function at(base: usize, index: i32): usize {
  return base + ((<usize>index) << 2);
}

export function sumLanes(v: v128): f32 {
  const pairs = f32x4.add(v, i32x4.shuffle(v, v, 2, 3, 0, 1));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

export function maxLanes(v: v128): f32 {
  const pairs = f32x4.max(v, i32x4.shuffle(v, v, 2, 3, 0, 1));
  return max(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}

/** A positive number to the nearest of binary16, ties to even: never 0, and infinity above 65504. */
export function roundToHalf(x: f32): f32 {
  if (x < 6.103515625e-5) return max<f32>(nearest<f32>(x * 16777216), 1) * 5.9604644775390625e-8;
  const bits = reinterpret<u32>(x);
  const half = reinterpret<f32>((bits + 0xfff + ((bits >> 13) & 1)) & 0xffffe000);
  return half > 65504 ? <f32>Infinity : half;
}

/**
 * eˣ by range reduction to |r| ≤ ln2/2 and a degree-6 polynomial (Cephes expf), about 1 unit in the last place. x is clamped to [−87, 88], NaN
 * stays NaN (the constant comes first in min and max). n = round(x/ln2) is read from the low bits left by adding 1.5·2²³.
 */
export function exp4(value: v128): v128 {
  const x = f32x4.relaxed_max(f32x4.splat(-87), f32x4.relaxed_min(f32x4.splat(88), value));
  const shifted = fma(x, f32x4.splat(<f32>Math.LOG2E), f32x4.splat(12582912));
  const n = f32x4.sub(shifted, f32x4.splat(12582912));
  const r = fma(n, f32x4.splat(2.1219444e-4), fma(n, f32x4.splat(-0.693359375), x));
  let p = fma(f32x4.splat(1.98756915e-4), r, f32x4.splat(1.39819995e-3));
  p = fma(p, r, f32x4.splat(8.33345205e-3));
  p = fma(p, r, f32x4.splat(4.16657962e-2));
  p = fma(p, r, f32x4.splat(1.66666657e-1));
  p = fma(p, r, f32x4.splat(0.5));
  p = fma(p, f32x4.mul(r, r), f32x4.add(r, f32x4.splat(1)));
  return i32x4.add(p, i32x4.shl(shifted, 23));
}

export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}

/** 1 / (1 + e⁻ˣ) */
export function sigmoid4(x: v128): v128 {
  const one = f32x4.splat(1);
  return f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(x))));
}

/** Natural logarithm of a positive normal number: log(m·2ᵉ) = e·ln2 + 2·artanh((m−1)/(m+1)), m in [√½, √2). */
export function log1(x: f64): f64 {
  const bits = reinterpret<i64>(x);
  let exponent = <i32>((bits >> 52) & 0x7ff) - 1023;
  let mantissa = reinterpret<f64>((bits & 0x000fffffffffffff) | 0x3ff0000000000000);
  if (mantissa > Math.SQRT2) {
    mantissa *= 0.5;
    exponent++;
  }
  const s = (mantissa - 1) / (mantissa + 1);
  const q = s * s;
  let series: f64 = 1.0 / 17;
  series = series * q + 1.0 / 15;
  series = series * q + 1.0 / 13;
  series = series * q + 1.0 / 11;
  series = series * q + 1.0 / 9;
  series = series * q + 1.0 / 7;
  series = series * q + 1.0 / 5;
  series = series * q + 1.0 / 3;
  return <f64>exponent * Math.LN2 + 2 * s * (1 + q * series);
}

/** eᵈ − 1 − d for |d| ≤ ¼, by its series: always at least 0, where the plain difference would cancel. */
export function excess4(d: v128): v128 {
  let series = fma(d, f32x4.splat(1.0 / 5040), f32x4.splat(1.0 / 720));
  series = fma(series, d, f32x4.splat(1.0 / 120));
  series = fma(series, d, f32x4.splat(1.0 / 24));
  series = fma(series, d, f32x4.splat(1.0 / 6));
  series = fma(series, d, f32x4.splat(0.5));
  return f32x4.mul(f32x4.mul(d, d), series);
}

/** eᵈ − 1 − d, accurate for small d too. */
export function excess1(d: f64): f64 {
  if (abs(d) > 0.25) return <f64>exp1(<f32>d) - 1 - d;
  return d * d * (0.5 + d * (1.0 / 6 + d * (1.0 / 24 + d * (1.0 / 120 + d * (1.0 / 720 + d * (1.0 / 5040 + d / 40320))))));
}
