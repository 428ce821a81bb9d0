/** Softmax cross-entropy over rows of logits, its gradient written over them. */
import { at, exp1, exp4, log1, maxLanes, sumLanes } from './math';

/**
 * logits [rows, vocab] become share · (softmax − onehot(target)); losses, f64 [rows], share · (log Σ exp − logit of the target).
 * targets int32 [rows], shares [rows]. Every target must lie in [0, vocab). Items are rows.
 */
export function crossEntropy(
  _thread: i32,
  from: i32,
  to: i32,
  logits: usize,
  targets: usize,
  shares: usize,
  losses: usize,
  vocab: i32,
): void {
  const whole = vocab & ~3;
  for (let row = from; row < to; row++) {
    const loss = losses + ((<usize>row) << 3);
    const z = at(logits, row * vocab);
    const share = load<f32>(at(shares, row));
    if (share === 0) {
      memory.fill(z, 0, (<usize>vocab) << 2);
      store<f64>(loss, 0);
      continue;
    }
    const target = load<i32>(at(targets, row));
    const picked = load<f32>(at(z, target));
    let largest4 = f32x4.splat(-Infinity);
    for (let j = 0; j < whole; j += 4) largest4 = f32x4.max(largest4, v128.load(at(z, j)));
    let largest = maxLanes(largest4);
    for (let j = whole; j < vocab; j++) largest = max(largest, load<f32>(at(z, j)));
    const shift = f32x4.splat(largest);
    let total4 = f32x4.splat(0);
    for (let j = 0; j < whole; j += 4) {
      const e = exp4(f32x4.sub(v128.load(at(z, j)), shift));
      v128.store(at(z, j), e);
      total4 = f32x4.add(total4, e);
    }
    let total = sumLanes(total4);
    for (let j = whole; j < vocab; j++) {
      const e = exp1(load<f32>(at(z, j)) - largest);
      store<f32>(at(z, j), e);
      total += e;
    }
    store<f64>(loss, <f64>share * (log1(total) + <f64>largest - <f64>picked));
    const factor: f32 = share / total;
    const factor4 = f32x4.splat(factor);
    for (let j = 0; j < whole; j += 4) v128.store(at(z, j), f32x4.mul(v128.load(at(z, j)), factor4));
    for (let j = whole; j < vocab; j++) store<f32>(at(z, j), load<f32>(at(z, j)) * factor);
    store<f32>(at(z, target), load<f32>(at(z, target)) - share);
  }
}
