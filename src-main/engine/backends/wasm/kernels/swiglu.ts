/** silu(gate) · up and its gradient, elementwise over values from … to − 1; `from` is a multiple of 4. */
import { at, fma, sigmoid4 } from './math';

/** Loads up to four values, the rest zero, so that a short tail takes the vector path and rounds like the rest. */
function loadTail(base: usize, index: i32, count: i32): v128 {
  let v = f32x4.splat(0);
  if (index < count) v = f32x4.replace_lane(v, 0, load<f32>(at(base, index)));
  if (index + 1 < count) v = f32x4.replace_lane(v, 1, load<f32>(at(base, index + 1)));
  if (index + 2 < count) v = f32x4.replace_lane(v, 2, load<f32>(at(base, index + 2)));
  return v;
}

function storeTail(base: usize, index: i32, count: i32, v: v128): void {
  if (index < count) store<f32>(at(base, index), f32x4.extract_lane(v, 0));
  if (index + 1 < count) store<f32>(at(base, index + 1), f32x4.extract_lane(v, 1));
  if (index + 2 < count) store<f32>(at(base, index + 2), f32x4.extract_lane(v, 2));
}

export function swigluForward(_thread: i32, from: i32, to: i32, gate: usize, up: usize, y: usize): void {
  const whole = to & ~3;
  for (let i = from; i < whole; i += 4) {
    const g = v128.load(at(gate, i));
    v128.store(at(y, i), f32x4.mul(f32x4.mul(g, sigmoid4(g)), v128.load(at(up, i))));
  }
  const g = loadTail(gate, whole, to);
  storeTail(y, whole, to, f32x4.mul(f32x4.mul(g, sigmoid4(g)), loadTail(up, whole, to)));
}

/** dUp = dy · silu(g); dGate = dy · up · σ(g) · (1 + g·(1 − σ(g))) */
export function swigluBackward(_thread: i32, from: i32, to: i32, gate: usize, up: usize, dy: usize, dGate: usize, dUp: usize): void {
  const whole = to & ~3;
  const one = f32x4.splat(1);
  for (let i = from; i < whole; i += 4) {
    const g = v128.load(at(gate, i));
    const d = v128.load(at(dy, i));
    const s = sigmoid4(g);
    const slope = f32x4.mul(s, fma(g, f32x4.sub(one, s), one));
    v128.store(at(dUp, i), f32x4.mul(d, f32x4.mul(g, s)));
    v128.store(at(dGate, i), f32x4.mul(f32x4.mul(d, v128.load(at(up, i))), slope));
  }
  const g = loadTail(gate, whole, to);
  const d = loadTail(dy, whole, to);
  const s = sigmoid4(g);
  const slope = f32x4.mul(s, fma(g, f32x4.sub(one, s), one));
  storeTail(dUp, whole, to, f32x4.mul(d, f32x4.mul(g, s)));
  storeTail(dGate, whole, to, f32x4.mul(f32x4.mul(d, loadTail(up, whole, to)), slope));
}
