/** Complex arithmetic in doubles: [real, imaginary]. Principal branches. */

export type Complex = readonly [number, number];

export const one: Complex = [1, 0];
export const plus = ([a, b]: Complex, [c, d]: Complex): Complex => [a + c, b + d];
export const minus = ([a, b]: Complex, [c, d]: Complex): Complex => [a - c, b - d];
export const times = ([a, b]: Complex, [c, d]: Complex): Complex => [a * c - b * d, a * d + b * c];
export const scaled = ([a, b]: Complex, factor: number): Complex => [a * factor, b * factor];
export const magnitude = ([a, b]: Complex): number => Math.hypot(a, b);
export const isFiniteComplex = ([a, b]: Complex): boolean => Number.isFinite(a) && Number.isFinite(b);

export function over([a, b]: Complex, [c, d]: Complex): Complex {
  const size = c * c + d * d;
  return [(a * c + b * d) / size, (b * c - a * d) / size];
}

export function exp([a, b]: Complex): Complex {
  const size = Math.exp(a);
  return b === 0 ? [size, 0] : [size * Math.cos(b), size * Math.sin(b)];
}

/** A negative number counts as above the cut, also where computing made its imaginary part -0. */
export const log = (z: Complex): Complex => [Math.log(magnitude(z)), Math.atan2(z[1] + 0, z[0])];

export function pow(base: Complex, exponent: Complex): Complex {
  const [b, c] = [base[0], exponent[0]];
  if (exponent[1] === 0 && base[1] === 0 && (b >= 0 || Number.isInteger(c))) return [b ** c, 0];
  if (exponent[1] === 0 && Number.isInteger(c) && Math.abs(c) <= 64) return whole(base, c);
  return base[0] === 0 && base[1] === 0 ? [Number.NaN, 0] : exp(times(exponent, log(base)));
}

function whole(base: Complex, exponent: number): Complex {
  let result = one;
  for (let step = 0; step < Math.abs(exponent); step++) result = times(result, base);
  return exponent < 0 ? over(one, result) : result;
}

/** The real root of a negative number where the degree is odd, else the principal one. */
export function nthRoot(z: Complex, degree: Complex): Complex {
  const [n] = degree;
  if (z[1] === 0 && z[0] < 0 && degree[1] === 0 && Math.abs(n % 2) === 1) return [-((-z[0]) ** (1 / n)), 0];
  return pow(z, over(one, degree));
}

const i: Complex = [0, 1];
const half = (z: Complex) => scaled(z, 0.5);
export const sinh = (z: Complex): Complex => half(minus(exp(z), exp(scaled(z, -1))));
export const cosh = (z: Complex): Complex => half(plus(exp(z), exp(scaled(z, -1))));
export const sin = (z: Complex): Complex => (z[1] === 0 ? [Math.sin(z[0]), 0] : over(sinh(times(i, z)), i));
export const cos = (z: Complex): Complex => (z[1] === 0 ? [Math.cos(z[0]), 0] : cosh(times(i, z)));
export const sqrt = (z: Complex): Complex => pow(z, [0.5, 0]);

/** −i·log(iz + √(1 − z²)) */
export function arcsin(z: Complex): Complex {
  if (z[1] === 0 && Math.abs(z[0]) <= 1) return [Math.asin(z[0]), 0];
  return times([0, -1], log(plus(times(i, z), sqrt(minus(one, times(z, z))))));
}

export function arctan(z: Complex): Complex {
  if (z[1] === 0) return [Math.atan(z[0]), 0];
  return times([0, 0.5], minus(log(minus(one, times(i, z))), log(plus(one, times(i, z)))));
}

const lanczos = [
  ...[0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905],
  ...[-0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7],
];

/** The gamma function, by Lanczos's approximation (g = 7, nine terms), relative error about 1e-15. */
export function gamma(z: Complex): Complex {
  if (z[0] < 0.5) {
    const reflected = times(sin(scaled(z, Math.PI)), gamma(minus(one, z)));
    return over([Math.PI, 0], reflected);
  }
  const x = minus(z, one);
  let series: Complex = [lanczos[0]!, 0];
  for (let term = 1; term < lanczos.length; term++) series = plus(series, over([lanczos[term]!, 0], plus(x, [term, 0])));
  const t = plus(x, [7.5, 0]);
  return scaled(times(times(pow(t, plus(x, [0.5, 0])), exp(scaled(t, -1))), series), Math.sqrt(2 * Math.PI));
}
