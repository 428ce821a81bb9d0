/** Rotary position embedding in the half-rotation layout. The gradient is the rotation by the opposite angle. */
import { at, fma } from './math';

/**
 * x, y [batch, seq, heads, 2·half]; cos, sin [positions, half]; row t of each sequence is at position offset + t.
 * `direction` is 1, or −1 for the inverse rotation. x and y may be the same. Items are rows of batch · seq.
 */
export function rotate(
  _thread: i32,
  from: i32,
  to: i32,
  x: usize,
  cos: usize,
  sin: usize,
  y: usize,
  seq: i32,
  heads: i32,
  half: i32,
  offset: i32,
  direction: f32,
): void {
  const sign = f32x4.splat(direction);
  const whole = half & ~3;
  for (let row = from; row < to; row++) {
    const position = offset + (row % seq);
    const c = at(cos, position * half);
    const s = at(sin, position * half);
    for (let h = 0; h < heads; h++) {
      const start = (row * heads + h) * 2 * half;
      const xHead = at(x, start);
      const yHead = at(y, start);
      for (let i = 0; i < whole; i += 4) {
        const first = v128.load(at(xHead, i));
        const second = v128.load(at(xHead, half + i));
        const ci = v128.load(at(c, i));
        const si = f32x4.mul(v128.load(at(s, i)), sign);
        v128.store(at(yHead, i), fma(f32x4.neg(second), si, f32x4.mul(first, ci)));
        v128.store(at(yHead, half + i), fma(first, si, f32x4.mul(second, ci)));
      }
      for (let i = whole; i < half; i++) {
        const first = load<f32>(at(xHead, i));
        const second = load<f32>(at(xHead, half + i));
        const ci = load<f32>(at(c, i));
        const si = load<f32>(at(s, i)) * direction;
        store<f32>(at(yHead, i), first * ci - second * si);
        store<f32>(at(yHead, half + i), second * ci + first * si);
      }
    }
  }
}
