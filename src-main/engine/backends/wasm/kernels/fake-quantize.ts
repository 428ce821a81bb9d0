/** Fake quantization of weight groups with given scales and zero points, and its straight-through gradient. */
import { at } from './math';

/** y = scale · (clip(round(w/scale) + zero, lowest, highest) − zero); w, y [groups, size]; scales, zeros [groups]. Rounds half to even. */
export function fakeQuantizeForward(
  w: usize,
  scales: usize,
  zeros: usize,
  y: usize,
  groups: i32,
  size: i32,
  lowest: f32,
  highest: f32,
): void {
  const whole = size & ~3;
  const low = f32x4.splat(lowest);
  const high = f32x4.splat(highest);
  for (let group = 0; group < groups; group++) {
    const scale = load<f32>(at(scales, group));
    const zero = load<f32>(at(zeros, group));
    const s = f32x4.splat(scale);
    const z = f32x4.splat(zero);
    const from = at(w, group * size);
    const to = at(y, group * size);
    for (let j = 0; j < whole; j += 4) {
      const code = f32x4.add(f32x4.nearest(f32x4.div(v128.load(at(from, j)), s)), z);
      v128.store(at(to, j), f32x4.mul(f32x4.sub(f32x4.max(f32x4.min(code, high), low), z), s));
    }
    for (let j = whole; j < size; j++) {
      const code = nearest<f32>(load<f32>(at(from, j)) / scale) + zero;
      store<f32>(at(to, j), (max(min(code, highest), lowest) - zero) * scale);
    }
  }
}

/** dw = dy where lowest ≤ w/scale + zero ≤ highest, else 0. */
export function fakeQuantizeBackward(
  w: usize,
  scales: usize,
  zeros: usize,
  dy: usize,
  dw: usize,
  groups: i32,
  size: i32,
  lowest: f32,
  highest: f32,
): void {
  for (let group = 0; group < groups; group++) {
    const scale = load<f32>(at(scales, group));
    const zero = load<f32>(at(zeros, group));
    for (let j = 0; j < size; j++) {
      const place = group * size + j;
      const code = load<f32>(at(w, place)) / scale + zero;
      store<f32>(at(dw, place), code >= lowest && code <= highest ? load<f32>(at(dy, place)) : 0);
    }
  }
}
