/**
 * The most probable token of each row of logits and roughly how probable it is, so that most tokens need no sampling at all: a token that
 * holds more than top-p alone is the only one to draw.
 */
import { at, maxLanes, sumLanes } from '../../backends/wasm/kernels/math';
import { exponential4 } from './exponential';

/**
 * tokens[row] = first token of the largest logit; shares[row] = its softmax probability at the temperature, within one percent, or NaN when a
 * logit is not finite. logits [rows, vocab]
 */
export function findPeaks(logits: usize, rows: i32, vocab: i32, inverseTemperature: f32, tokens: usize, shares: usize): void {
  const whole = vocab & ~3;
  for (let row = 0; row < rows; row++) {
    const values = at(logits, row * vocab);
    const largest = largestOf(values, whole, vocab);
    let token = 0;
    while (token < vocab - 1 && load<f32>(at(values, token)) !== largest) token++;
    const shift = f32x4.splat(largest);
    const factor = f32x4.splat(inverseTemperature);
    let total4 = f32x4.splat(0);
    for (let j = 0; j < whole; j += 4) {
      total4 = f32x4.add(total4, exponential4(f32x4.mul(f32x4.sub(v128.load(at(values, j)), shift), factor)));
    }
    let total = sumLanes(total4);
    for (let j = whole; j < vocab; j++) {
      total += f32x4.extract_lane(exponential4(f32x4.splat((load<f32>(at(values, j)) - largest) * inverseTemperature)), 0);
    }
    store<i32>(at(tokens, row), token);
    store<f32>(at(shares, row), 1 / total);
  }
}

function largestOf(values: usize, whole: i32, vocab: i32): f32 {
  let largest4 = f32x4.splat(-Infinity);
  for (let j = 0; j < whole; j += 4) largest4 = f32x4.pmax(largest4, v128.load(at(values, j)));
  let largest = maxLanes(largest4);
  for (let j = whole; j < vocab; j++) largest = max(largest, load<f32>(at(values, j)));
  return largest;
}
