/** Dropout by a hash of each element's place, so that the backward pass, and a forward pass made again, drop the same elements. */
import { at } from './math';

/** The finaliser of MurmurHash3. */
function mix(h: v128): v128 {
  let x = v128.xor(h, i32x4.shr_u(h, 16));
  x = i32x4.mul(x, i32x4.splat(0x85ebca6b));
  x = v128.xor(x, i32x4.shr_u(x, 13));
  x = i32x4.mul(x, i32x4.splat(0xc2b2ae35));
  return v128.xor(x, i32x4.shr_u(x, 16));
}

/** y = x · factor where mix(place · 2³²/φ + seed) ≥ threshold (unsigned), else 0. Items are elements. */
export function dropout(_thread: i32, from: i32, to: i32, x: usize, y: usize, seed: u32, threshold: u32, factor: f32): void {
  const lanes = i32x4.mul(i32x4(0, 1, 2, 3), i32x4.splat(0x9e3779b9));
  const limit = i32x4.splat(threshold);
  const factor4 = f32x4.splat(factor);
  let j = from;
  for (; j + 4 <= to; j += 4) {
    const kept = i32x4.ge_u(mix(i32x4.add(lanes, i32x4.splat(<u32>j * 0x9e3779b9 + seed))), limit);
    v128.store(at(y, j), v128.and(f32x4.mul(v128.load(at(x, j)), factor4), kept));
  }
  for (; j < to; j++) {
    const kept = <u32>i32x4.extract_lane(mix(i32x4.splat(<u32>j * 0x9e3779b9 + seed)), 0) >= threshold;
    store<f32>(at(y, j), kept ? load<f32>(at(x, j)) * factor : 0);
  }
}
