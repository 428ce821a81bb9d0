/** Rotary position embedding in the half-rotation layout. The gradient is the rotation by the opposite angle. */
import { at, fma } from './math';

/**
 * x, y [batch, seq, heads, 2·half]; cos, sin [positions, half]; row t of each sequence is at position offset + t.
 * `direction` is 1, or −1 for the inverse rotation. x and y may be the same.
 */
export function rotate(
  x: usize,
  cos: usize,
  sin: usize,
  y: usize,
  batch: i32,
  seq: i32,
  heads: i32,
  half: i32,
  offset: i32,
  direction: f32,
): void {
  const sign = f32x4.splat(direction);
  const whole = half & ~3;
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < seq; t++) {
      const c = at(cos, (offset + t) * half);
      const s = at(sin, (offset + t) * half);
      for (let h = 0; h < heads; h++) {
        const start = ((b * seq + t) * heads + h) * 2 * half;
        const from = at(x, start);
        const to = at(y, start);
        for (let i = 0; i < whole; i += 4) {
          const first = v128.load(at(from, i));
          const second = v128.load(at(from, half + i));
          const ci = v128.load(at(c, i));
          const si = f32x4.mul(v128.load(at(s, i)), sign);
          v128.store(at(to, i), fma(f32x4.neg(second), si, f32x4.mul(first, ci)));
          v128.store(at(to, half + i), fma(first, si, f32x4.mul(second, ci)));
        }
        for (let i = whole; i < half; i++) {
          const first = load<f32>(at(from, i));
          const second = load<f32>(at(from, half + i));
          const ci = load<f32>(at(c, i));
          const si = load<f32>(at(s, i)) * direction;
          store<f32>(at(to, i), first * ci - second * si);
          store<f32>(at(to, half + i), second * ci + first * si);
        }
      }
    }
  }
}
