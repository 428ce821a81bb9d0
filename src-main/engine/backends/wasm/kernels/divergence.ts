/**
 * Kullback–Leibler divergences between rows of logits, softened by a temperature T, their gradients written over the student's logits.
 * With d = log q − log p, KL(p‖q) is summed as p·(eᵈ − 1 − d), not as −p·d: no term is negative, so equal rows give 0 and nothing cancels.
 */
import { at, excess4, exp1, exp4, log1, maxLanes, sumLanes } from './math';

/**
 * student, teacher [rows, vocab], whose contents are used up; shares [rows]; losses, f64 [rows]: share · (mix · KL(S‖T) + (1 − mix) · KL(T‖S)).
 * The student's logits become the gradient of that in them. Items are rows.
 */
export function divergence(
  _thread: i32,
  from: i32,
  to: i32,
  student: usize,
  teacher: usize,
  shares: usize,
  losses: usize,
  vocab: i32,
  inverseTemperature: f32,
  mix: f32,
): void {
  const whole = vocab & ~3;
  for (let row = from; row < to; row++) {
    const loss = losses + ((<usize>row) << 3);
    const s = at(student, row * vocab);
    const t = at(teacher, row * vocab);
    const share = load<f32>(at(shares, row));
    if (share === 0) {
      memory.fill(s, 0, (<usize>vocab) << 2);
      store<f64>(loss, 0);
      continue;
    }
    logSoftmaxRow(s, vocab, inverseTemperature);
    logSoftmaxRow(t, vocab, inverseTemperature);
    let forward4 = f32x4.splat(0);
    let reverse4 = f32x4.splat(0);
    for (let j = 0; j < whole; j += 4) {
      const ls = v128.load(at(s, j));
      const lt = v128.load(at(t, j));
      const d = f32x4.sub(ls, lt);
      forward4 = f32x4.add(forward4, divergence4(exp4(lt), exp4(ls), d));
      reverse4 = f32x4.add(reverse4, divergence4(exp4(ls), exp4(lt), f32x4.neg(d)));
    }
    let forward = sumLanes(forward4);
    let reverse = sumLanes(reverse4);
    for (let j = whole; j < vocab; j++) {
      const ls = load<f32>(at(s, j));
      const lt = load<f32>(at(t, j));
      const ps = f32x4.splat(exp1(ls));
      const pt = f32x4.splat(exp1(lt));
      forward += f32x4.extract_lane(divergence4(pt, ps, f32x4.splat(ls - lt)), 0);
      reverse += f32x4.extract_lane(divergence4(ps, pt, f32x4.splat(lt - ls)), 0);
    }
    store<f64>(loss, <f64>share * (<f64>mix * <f64>reverse + (1 - <f64>mix) * <f64>forward));
    const ofForward = share * inverseTemperature * (1 - mix);
    const ofReverse = share * inverseTemperature * mix;
    const forwardFactor = f32x4.splat(ofForward);
    const reverseFactor = f32x4.splat(ofReverse);
    const mean = f32x4.splat(reverse);
    for (let j = 0; j < whole; j += 4) {
      const ls = v128.load(at(s, j));
      const lt = v128.load(at(t, j));
      const ps = exp4(ls);
      const towards = f32x4.mul(forwardFactor, f32x4.sub(ps, exp4(lt)));
      const excess = f32x4.sub(f32x4.sub(ls, lt), mean);
      v128.store(at(s, j), f32x4.add(towards, f32x4.mul(reverseFactor, f32x4.mul(ps, excess))));
    }
    for (let j = whole; j < vocab; j++) {
      const ls = load<f32>(at(s, j));
      const lt = load<f32>(at(t, j));
      const ps = exp1(ls);
      store<f32>(at(s, j), ofForward * (ps - exp1(lt)) + ofReverse * (ps * (ls - lt - reverse)));
    }
  }
}

/**
 * The same, KL(T‖S) alone, for a teacher known by its k most probable tokens, among which its probabilities are shared out: indices int32
 * [rows, k], each in [0, vocab); teacher [rows, k] logits, used up. The student's probabilities run over the whole vocabulary.
 */
export function divergenceTop(
  _thread: i32,
  from: i32,
  to: i32,
  student: usize,
  indices: usize,
  teacher: usize,
  shares: usize,
  losses: usize,
  vocab: i32,
  k: i32,
  inverseTemperature: f32,
): void {
  const whole = vocab & ~3;
  for (let row = from; row < to; row++) {
    const loss = losses + ((<usize>row) << 3);
    const s = at(student, row * vocab);
    const t = at(teacher, row * k);
    const tokens = at(indices, row * k);
    const share = load<f32>(at(shares, row));
    if (share === 0) {
      memory.fill(s, 0, (<usize>vocab) << 2);
      store<f64>(loss, 0);
      continue;
    }
    logSoftmaxRow(s, vocab, inverseTemperature);
    logSoftmaxRow(t, k, inverseTemperature);
    let sum: f64 = 0;
    for (let i = 0; i < k; i++) {
      const lt = load<f32>(at(t, i));
      const ls = load<f32>(at(s, load<i32>(at(tokens, i))));
      sum += <f64>exp1(lt) * (<f64>lt - <f64>ls);
    }
    store<f64>(loss, <f64>share * sum);
    const factor = share * inverseTemperature;
    const factor4 = f32x4.splat(factor);
    for (let j = 0; j < whole; j += 4) v128.store(at(s, j), f32x4.mul(factor4, exp4(v128.load(at(s, j)))));
    for (let j = whole; j < vocab; j++) store<f32>(at(s, j), factor * exp1(load<f32>(at(s, j))));
    for (let i = 0; i < k; i++) {
      const place = at(s, load<i32>(at(tokens, i)));
      store<f32>(place, load<f32>(place) - factor * exp1(load<f32>(at(t, i))));
    }
  }
}

/** p·(eᵈ − 1 − d), where q = p·eᵈ. */
function divergence4(p: v128, q: v128, d: v128): v128 {
  const near = f32x4.mul(p, excess4(d));
  const far = f32x4.sub(f32x4.sub(q, p), f32x4.mul(p, d));
  return v128.bitselect(near, far, f32x4.le(f32x4.abs(d), f32x4.splat(0.25)));
}

/** Logits become log softmax(logits / T), in place. */
function logSoftmaxRow(z: usize, size: i32, inverseTemperature: f32): void {
  const whole = size & ~3;
  let largest4 = f32x4.splat(-Infinity);
  for (let j = 0; j < whole; j += 4) largest4 = f32x4.max(largest4, v128.load(at(z, j)));
  let largest = maxLanes(largest4);
  for (let j = whole; j < size; j++) largest = max(largest, load<f32>(at(z, j)));
  const shift = f32x4.splat(largest);
  const scale = f32x4.splat(inverseTemperature);
  let total4 = f32x4.splat(0);
  for (let j = 0; j < whole; j += 4) {
    const u = f32x4.mul(f32x4.sub(v128.load(at(z, j)), shift), scale);
    v128.store(at(z, j), u);
    total4 = f32x4.add(total4, exp4(u));
  }
  let total = sumLanes(total4);
  for (let j = whole; j < size; j++) {
    const u = (load<f32>(at(z, j)) - largest) * inverseTemperature;
    store<f32>(at(z, j), u);
    total += exp1(u);
  }
  const logTotal = <f32>log1(total);
  const logTotal4 = f32x4.splat(logTotal);
  for (let j = 0; j < whole; j += 4) v128.store(at(z, j), f32x4.sub(v128.load(at(z, j)), logTotal4));
  for (let j = whole; j < size; j++) store<f32>(at(z, j), load<f32>(at(z, j)) - logTotal);
}
