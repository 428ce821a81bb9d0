/**
 * Student's t distribution: cumulative probability by the regularised incomplete beta function (continued fraction, Lentz's
 * method; Press et al., Numerical Recipes 6.4) and its two-sided 95 % quantile by bisection.
 */
import { RoundoffError } from '#contract/errors.ts';

/** Lanczos approximation with g = 7 and nine coefficients; relative error below 1e-14 for x > 0. */
export function logGamma(x: number): number {
  const coefficients = [
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
    -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ];
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const shifted = x - 1;
  const t = shifted + 7.5;
  let series = coefficients[0]!;
  for (let i = 1; i < coefficients.length; i++) series += coefficients[i]! / (shifted + i);
  return 0.5 * Math.log(2 * Math.PI) + (shifted + 0.5) * Math.log(t) - t + Math.log(series);
}

/** Regularised incomplete beta function I_x(a, b). */
export function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  return x < (a + 1) / (a + b + 2) ? (front * betaFraction(x, a, b)) / a : 1 - (front * betaFraction(1 - x, b, a)) / b;
}

/** P(T ≤ t) with `degrees` degrees of freedom. */
export function studentCdf(t: number, degrees: number): number {
  if (!(degrees > 0))
    throw new RoundoffError('numeric', `Student's t needs positive degrees of freedom, not ${degrees}.`, 'Use two or more problems.');
  const tail = 0.5 * incompleteBeta(degrees / (degrees + t * t), degrees / 2, 0.5);
  return t > 0 ? 1 - tail : tail;
}

const quantiles = new Map<number, number>();

/** The t with P(|T| ≤ t) = 0.95: 12.706 for one degree of freedom, towards 1.960 for many. */
export function studentQuantile95(degrees: number): number {
  const known = quantiles.get(degrees);
  if (known !== undefined) return known;
  let low = 1.9;
  let high = 13;
  if (degrees < 1) high = 1e6;
  for (let i = 0; i < 100 && high - low > 1e-12; i++) {
    const middle = (low + high) / 2;
    if (studentCdf(middle, degrees) < 0.975) low = middle;
    else high = middle;
  }
  quantiles.set(degrees, (low + high) / 2);
  return (low + high) / 2;
}

function betaFraction(x: number, a: number, b: number): number {
  const tiny = 1e-300;
  const guard = (value: number) => (Math.abs(value) < tiny ? tiny : value);
  let c = 1;
  let d = 1 / guard(1 - ((a + b) * x) / (a + 1));
  let result = d;
  for (let m = 1; m <= 1000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / guard(1 + even * d);
    c = guard(1 + even / c);
    result *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / guard(1 + odd * d);
    c = guard(1 + odd / c);
    const factor = d * c;
    result *= factor;
    if (Math.abs(factor - 1) < 1e-15) break;
  }
  return result;
}
