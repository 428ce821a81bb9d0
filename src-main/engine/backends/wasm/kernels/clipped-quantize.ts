/**
 * Fake quantization of rows whose range is scaled by factors that are learnt, and clamping of rows to such a range, with gradients in the
 * values and in the factors. `stats` keeps what the backward pass needs of a row. Factors lie `stride` floats apart: 0 for one of all rows.
 */
import { at, maxLanes, roundToHalf, sumLanes } from './math';

/** Largest and smallest value of a row into stats[0] and stats[1]. */
function observeRow(x: usize, size: i32, stats: usize): void {
  const whole = size & ~3;
  let high = load<f32>(x);
  let low = high;
  if (whole > 0) {
    let high4 = v128.load(x);
    let low4 = high4;
    for (let j = 4; j < whole; j += 4) {
      const v = v128.load(at(x, j));
      high4 = f32x4.max(high4, v);
      low4 = f32x4.min(low4, v);
    }
    high = maxLanes(high4);
    low = -maxLanes(f32x4.neg(low4));
  }
  for (let j = whole; j < size; j++) {
    high = max(high, load<f32>(at(x, j)));
    low = min(low, load<f32>(at(x, j)));
  }
  store<f32>(stats, high);
  store<f32>(stats, low, 4);
}

/** Adds `amount` in equal shares to the places where x is `value`. */
function addWhereEqual(x: usize, dx: usize, size: i32, value: f32, amount: f32): void {
  const whole = size & ~3;
  const value4 = f32x4.splat(value);
  let count: i32 = 0;
  for (let j = 0; j < whole; j += 4) count += popcnt(i32x4.bitmask(f32x4.eq(v128.load(at(x, j)), value4)));
  for (let j = whole; j < size; j++) if (load<f32>(at(x, j)) === value) count++;
  const share: f32 = amount / <f32>count;
  const share4 = f32x4.splat(share);
  for (let j = 0; j < whole; j += 4) {
    const equal = f32x4.eq(v128.load(at(x, j)), value4);
    if (v128.any_true(equal)) v128.store(at(dx, j), f32x4.add(v128.load(at(dx, j)), v128.and(share4, equal)));
  }
  for (let j = whole; j < size; j++) {
    if (load<f32>(at(x, j)) === value) store<f32>(at(dx, j), load<f32>(at(dx, j)) + share);
  }
}

/**
 * hi = max(max x, 0) · high, lo = min(min x, 0) · low; symmetric: scale = max(hi, −lo) / divisor and zero 0, else scale = (hi − lo) / divisor and
 * zero = round(−lo / scale); y = scale · (clip(round(x / scale) + zero, lowest, highest) − zero). An empty range gives scale 1. With
 * `halfScales` the scale is rounded to binary16 first, and both are computed as quantizers compute them.
 * x, y [rows, size]; stats [rows, 4]: largest, smallest, scale, zero. Items are rows.
 */
export function clippedQuantizeForward(
  _thread: i32,
  from: i32,
  to: i32,
  x: usize,
  high: usize,
  low: usize,
  stride: i32,
  y: usize,
  stats: usize,
  size: i32,
  symmetric: i32,
  divisor: f32,
  lowest: f32,
  highest: f32,
  halfScales: i32,
): void {
  const whole = size & ~3;
  const lowest4 = f32x4.splat(lowest);
  const highest4 = f32x4.splat(highest);
  for (let row = from; row < to; row++) {
    const source = at(x, row * size);
    const target = at(y, row * size);
    const kept = at(stats, row * 4);
    observeRow(source, size, kept);
    const hi: f32 = max<f32>(load<f32>(kept), 0) * load<f32>(at(high, row * stride));
    const lo: f32 = min<f32>(load<f32>(kept, 4), 0) * load<f32>(at(low, row * stride));
    const width: f32 = (symmetric ? max<f32>(hi, -lo) : hi - lo) / divisor;
    let scale: f32 = width > 0 ? width : 1;
    let zero: f32 = symmetric ? 0 : nearest<f32>(-lo / scale);
    if (halfScales && width > 0) {
      const range: f64 = symmetric ? max<f64>(hi, -lo) : <f64>hi - <f64>lo;
      scale = roundToHalf(<f32>(range / <f64>divisor));
      if (!symmetric) zero = <f32>min<f64>(nearest<f64>(-(<f64>lo) / <f64>scale), highest);
    }
    store<f32>(kept, scale, 8);
    store<f32>(kept, zero, 12);
    const s = f32x4.splat(scale);
    const z = f32x4.splat(zero);
    for (let j = 0; j < whole; j += 4) {
      const code = f32x4.add(f32x4.nearest(f32x4.div(v128.load(at(source, j)), s)), z);
      v128.store(at(target, j), f32x4.mul(f32x4.sub(f32x4.max(f32x4.min(code, highest4), lowest4), z), s));
    }
    for (let j = whole; j < size; j++) {
      const code = nearest<f32>(load<f32>(at(source, j)) / scale) + zero;
      store<f32>(at(target, j), (max(min(code, highest), lowest) - zero) * scale);
    }
  }
}

/**
 * Rounding passes gradients straight through, clipped codes stop them, and the scale carries them on to the row's largest and smallest value
 * and to the factors; the zero point is a constant. dx [rows, size]; dHigh, dLow [rows].
 */
export function clippedQuantizeBackward(
  _thread: i32,
  from: i32,
  to: i32,
  x: usize,
  dy: usize,
  stats: usize,
  high: usize,
  low: usize,
  stride: i32,
  dx: usize,
  dHigh: usize,
  dLow: usize,
  size: i32,
  symmetric: i32,
  divisor: f32,
  lowest: f32,
  highest: f32,
): void {
  const whole = size & ~3;
  const lowest4 = f32x4.splat(lowest);
  const highest4 = f32x4.splat(highest);
  for (let row = from; row < to; row++) {
    const source = at(x, row * size);
    const above = at(dy, row * size);
    const target = at(dx, row * size);
    const kept = at(stats, row * 4);
    const scale = load<f32>(kept, 8);
    const zero = load<f32>(kept, 12);
    const s = f32x4.splat(scale);
    const z = f32x4.splat(zero);
    let sum4 = f32x4.splat(0);
    for (let j = 0; j < whole; j += 4) {
      const ratio = f32x4.div(v128.load(at(source, j)), s);
      const code = f32x4.add(f32x4.nearest(ratio), z);
      const clipped = f32x4.max(f32x4.min(code, highest4), lowest4);
      const inside = f32x4.eq(code, clipped);
      const d = v128.load(at(above, j));
      v128.store(at(target, j), v128.and(d, inside));
      const slope = f32x4.sub(f32x4.sub(clipped, z), v128.and(ratio, inside));
      sum4 = f32x4.add(sum4, f32x4.mul(d, slope));
    }
    let dScale = sumLanes(sum4);
    for (let j = whole; j < size; j++) {
      const ratio: f32 = load<f32>(at(source, j)) / scale;
      const code: f32 = nearest<f32>(ratio) + zero;
      const clipped: f32 = max(min(code, highest), lowest);
      const d = load<f32>(at(above, j));
      store<f32>(at(target, j), code === clipped ? d : 0);
      dScale += d * (clipped - zero - (code === clipped ? ratio : 0));
    }
    const top = max<f32>(load<f32>(kept), 0);
    const bottom = min<f32>(load<f32>(kept, 4), 0);
    const factorHigh = load<f32>(at(high, row * stride));
    const factorLow = load<f32>(at(low, row * stride));
    const hi: f32 = top * factorHigh;
    const lo: f32 = bottom * factorLow;
    const isEmpty = (symmetric ? max<f32>(hi, -lo) : hi - lo) <= 0;
    const share: f32 = isEmpty ? 0 : dScale / divisor;
    const dHi: f32 = symmetric && hi < -lo ? 0 : share;
    const dLo: f32 = symmetric && hi >= -lo ? 0 : -share;
    store<f32>(at(dHigh, row), dHi * top);
    store<f32>(at(dLow, row), dLo * bottom);
    if (top > 0 && dHi !== 0) addWhereEqual(source, target, size, top, dHi * factorHigh);
    if (bottom < 0 && dLo !== 0) addWhereEqual(source, target, size, bottom, dLo * factorLow);
  }
}

/** y = min(max(x, min x · low), max x · high) row by row. x, y [rows, size]; high, low [rows]; stats [rows, 2]. Items are rows. */
export function clampRowsForward(
  _thread: i32,
  from: i32,
  to: i32,
  x: usize,
  high: usize,
  low: usize,
  y: usize,
  stats: usize,
  size: i32,
): void {
  const whole = size & ~3;
  for (let row = from; row < to; row++) {
    const source = at(x, row * size);
    const target = at(y, row * size);
    const kept = at(stats, row * 2);
    observeRow(source, size, kept);
    const top: f32 = load<f32>(kept) * load<f32>(at(high, row));
    const bottom: f32 = load<f32>(kept, 4) * load<f32>(at(low, row));
    const top4 = f32x4.splat(top);
    const bottom4 = f32x4.splat(bottom);
    for (let j = 0; j < whole; j += 4) v128.store(at(target, j), f32x4.min(f32x4.max(v128.load(at(source, j)), bottom4), top4));
    for (let j = whole; j < size; j++) store<f32>(at(target, j), min(max(load<f32>(at(source, j)), bottom), top));
  }
}

/** Clamped values pass their gradient to the bound, and so to the factor and the row's extreme. dx [rows, size]; dHigh, dLow [rows]. */
export function clampRowsBackward(
  _thread: i32,
  from: i32,
  to: i32,
  x: usize,
  dy: usize,
  stats: usize,
  high: usize,
  low: usize,
  dx: usize,
  dHigh: usize,
  dLow: usize,
  size: i32,
): void {
  for (let row = from; row < to; row++) {
    const source = at(x, row * size);
    const above = at(dy, row * size);
    const target = at(dx, row * size);
    const largest = load<f32>(at(stats, row * 2));
    const smallest = load<f32>(at(stats, row * 2 + 1));
    const top: f32 = largest * load<f32>(at(high, row));
    const bottom: f32 = smallest * load<f32>(at(low, row));
    const whole = size & ~3;
    const top4 = f32x4.splat(top);
    const bottom4 = f32x4.splat(bottom);
    let dTop4 = f32x4.splat(0);
    let dBottom4 = f32x4.splat(0);
    for (let j = 0; j < whole; j += 4) {
      const value = v128.load(at(source, j));
      const d = v128.load(at(above, j));
      const isAbove = f32x4.gt(value, top4);
      const isBelow = v128.andnot(f32x4.lt(value, bottom4), isAbove);
      dTop4 = f32x4.add(dTop4, v128.and(d, isAbove));
      dBottom4 = f32x4.add(dBottom4, v128.and(d, isBelow));
      v128.store(at(target, j), v128.andnot(d, v128.or(isAbove, isBelow)));
    }
    let dTop = sumLanes(dTop4);
    let dBottom = sumLanes(dBottom4);
    for (let j = whole; j < size; j++) {
      const value = load<f32>(at(source, j));
      const d = load<f32>(at(above, j));
      if (value > top) dTop += d;
      else if (value < bottom) dBottom += d;
      store<f32>(at(target, j), value > top || value < bottom ? 0 : d);
    }
    store<f32>(at(dHigh, row), dTop * largest);
    store<f32>(at(dLow, row), dBottom * smallest);
    if (dTop !== 0) addWhereEqual(source, target, size, largest, dTop * load<f32>(at(high, row)));
    if (dBottom !== 0) addWhereEqual(source, target, size, smallest, dBottom * load<f32>(at(low, row)));
  }
}
