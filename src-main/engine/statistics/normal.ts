/**
 * The standard normal distribution: cumulative probability by the series of the error function near zero and its continued
 * fraction in the tails (Abramowitz & Stegun 26.2.11 and 26.2.14), quantile by bisection.
 */
import { RoundoffError } from '#contract/errors.ts';

/** Below this the series loses nothing to cancellation, above it the continued fraction converges fast. */
const tailFrom = 3;

/** P(Z ≤ z); the relative error of either tail is below 1e-12. */
export function normalCdf(z: number): number {
  if (Math.abs(z) > tailFrom) {
    const tail = upperTail(Math.abs(z));
    return z > 0 ? 1 - tail : tail;
  }
  let term = z;
  let sum = z;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (z * z) / (2 * n + 1);
    sum += term;
  }
  return 0.5 + density(z) * sum;
}

/** Two-sided p-value of a standard normal statistic. */
export function normalTwoSided(z: number): number {
  return Math.min(1, 2 * normalCdf(-Math.abs(z)));
}

/** The z with P(Z ≤ z) = `probability`. Throws `numeric` outside (0, 1). */
export function normalQuantile(probability: number): number {
  if (!(probability > 0 && probability < 1))
    throw new RoundoffError('numeric', `${probability} has no normal quantile.`, 'Give a probability between 0 and 1.');
  if (probability > 0.5) return -normalQuantile(1 - probability);
  let low = -40;
  let high = 0;
  while (high - low > 1e-14 * Math.max(1, -low)) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) break;
    if (normalCdf(middle) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

function density(z: number): number {
  return Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);
}

/** P(Z > z) for z > 3, evaluated from the far end of the fraction. */
function upperTail(z: number): number {
  let fraction = z;
  for (let n = 120; n >= 1; n--) fraction = z + n / fraction;
  return density(z) / fraction;
}
