/**
 * The policy's view of rows of logits: log-probability of a token and entropy at a temperature T, and the clipped policy-gradient loss of
 * PPO and GRPO with its gradient written over the logits.
 */
import { at, excess1, exp1, exp4, log1, maxLanes, sumLanes } from './math';

/**
 * logits [rows, vocab]; targets int32 [rows] in [0, vocab); weights [rows], 0 where a row does not count. Writes logProbabilities and entropies
 * [rows], both of softmax(logits / T) and 0 where the weight is. Where `losses` (f64 [rows]) is not 0, loss and gradient follow, from
 * advantages [rows] and, where their addresses are not 0, old and reference log-probabilities and importance [rows]:
 *   weight · (−importance · min(ρA, clip(ρ, 1 − clipLow, 1 + clipHigh)A) + beta · (eʳ − r − 1)), ρ = exp(logp − old), r = reference − logp
 * Without `old` the ratio is 1 and its gradient that of logp. The logits become the gradient. Items are rows.
 */
export function policy(
  _thread: i32,
  from: i32,
  to: i32,
  logits: usize,
  targets: usize,
  weights: usize,
  advantages: usize,
  old: usize,
  reference: usize,
  importance: usize,
  logProbabilities: usize,
  entropies: usize,
  losses: usize,
  vocab: i32,
  inverseTemperature: f32,
  clipLow: f32,
  clipHigh: f32,
  beta: f32,
): void {
  const whole = vocab & ~3;
  for (let row = from; row < to; row++) {
    const z = at(logits, row * vocab);
    const loss = losses + ((<usize>row) << 3);
    const weight = load<f32>(at(weights, row));
    if (weight === 0) {
      store<f32>(at(logProbabilities, row), 0);
      store<f32>(at(entropies, row), 0);
      if (losses) {
        memory.fill(z, 0, (<usize>vocab) << 2);
        store<f64>(loss, 0);
      }
      continue;
    }
    const place = at(z, load<i32>(at(targets, row)));
    let largest4 = f32x4.splat(-Infinity);
    for (let j = 0; j < whole; j += 4) largest4 = f32x4.max(largest4, v128.load(at(z, j)));
    let largest = maxLanes(largest4);
    for (let j = whole; j < vocab; j++) largest = max(largest, load<f32>(at(z, j)));
    const picked = (load<f32>(place) - largest) * inverseTemperature;
    const shift = f32x4.splat(largest);
    const scale = f32x4.splat(inverseTemperature);
    let total4 = f32x4.splat(0);
    let moment4 = f32x4.splat(0);
    for (let j = 0; j < whole; j += 4) {
      const u = f32x4.mul(f32x4.sub(v128.load(at(z, j)), shift), scale);
      const e = exp4(u);
      v128.store(at(z, j), e);
      total4 = f32x4.add(total4, e);
      moment4 = f32x4.add(moment4, f32x4.mul(e, u));
    }
    let total = sumLanes(total4);
    let moment = sumLanes(moment4);
    for (let j = whole; j < vocab; j++) {
      const u = (load<f32>(at(z, j)) - largest) * inverseTemperature;
      const e = exp1(u);
      store<f32>(at(z, j), e);
      total += e;
      moment += e * u;
    }
    const logTotal = log1(total);
    const logp = <f32>(<f64>picked - logTotal);
    store<f32>(at(logProbabilities, row), logp);
    store<f32>(at(entropies, row), <f32>(logTotal - <f64>moment / <f64>total));
    if (!losses) continue;
    const advantage = <f64>load<f32>(at(advantages, row));
    const ratio: f64 = old ? <f64>exp1(logp - load<f32>(at(old, row))) : 1;
    const factor: f64 = importance ? <f64>load<f32>(at(importance, row)) : 1;
    const free = ratio * advantage;
    const held = min(max(ratio, 1 - <f64>clipLow), 1 + <f64>clipHigh) * advantage;
    let value = -factor * min(free, held);
    let slope: f64 = free <= held ? -factor * free : 0;
    if (reference) {
      const r = <f64>load<f32>(at(reference, row)) - <f64>logp;
      const k3 = excess1(r);
      value += <f64>beta * k3;
      slope -= <f64>beta * (r + k3);
    }
    store<f64>(loss, <f64>weight * value);
    const push = <f32>(<f64>weight * slope * <f64>inverseTemperature);
    const spread = -push / total;
    const spread4 = f32x4.splat(spread);
    for (let j = 0; j < whole; j += 4) v128.store(at(z, j), f32x4.mul(v128.load(at(z, j)), spread4));
    for (let j = whole; j < vocab; j++) store<f32>(at(z, j), load<f32>(at(z, j)) * spread);
    store<f32>(place, load<f32>(place) + push);
  }
}
