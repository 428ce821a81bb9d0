/**
 * Compares two expressions by their values at sample points: equal everywhere means equal, different at one means different. This decides
 * what symbolic simplification often leaves open, such as (x+1)² against its expansion.
 */
import { type Complex, isFiniteComplex, magnitude, minus } from './complex.ts';
import { evaluateAt, type Point, toNumber } from './evaluate.ts';
import { type Node, some, symbolsOf } from './node.ts';

export type Sampled = 'equal' | 'different' | 'unknown';

const points = 16;
/** Fewer than these defined at both sides prove nothing. */
const wanted = 4;
const relativeError = 1e-9;
/** Below this, a difference is what rounding leaves of zero, unless the expressions hold numbers as small as that themselves. */
const zeroError = 1e-12;
const wholeOnly = new Set(['floor', 'ceil', 'factorial', 'binomial']);
const countingSymbols = /^[a-dj-nprstJ-NP](?:_.*)?$/;

/** Unknowns are real. With several of them, formulas that agree for positive values are taken as equal: quantities under roots are positive. */
export function compareBySampling(a: Node, b: Node): Sampled {
  const results = (['e', 10] as const).map((logBase) => compareWith(a, b, logBase));
  return results.includes('equal') ? 'equal' : results[0]!;
}

/** The ratio a/b where it is the same at every point, else null. */
export function constantRatio(a: Node, b: Node): Complex | null {
  const symbols = symbolsOf(a, b);
  const ratios: Complex[] = [];
  for (let index = 0; index < points; index++) {
    const point = pointAt(symbols, index, 'mixed', 'e');
    const [x, y] = [evaluateAt(a, point), evaluateAt(b, point)];
    const ratio = quotient(x, y);
    if (ratio) ratios.push(ratio);
  }
  const first = ratios[0];
  if (!first || ratios.length < wanted || magnitude(first) === 0) return null;
  return ratios.every((ratio) => close(ratio, first, 0)) ? first : null;
}

type Domain = 'mixed' | 'positive' | 'whole';

function compareWith(a: Node, b: Node, logBase: 10 | 'e'): Sampled {
  const symbols = symbolsOf(a, b);
  if (symbols.length === 0) {
    const point = pointAt([], 0, 'mixed', logBase);
    const [x, y] = [evaluateAt(a, point), evaluateAt(b, point)];
    if (Math.abs(x[0]) === Infinity && x[1] + y[1] === 0) return x[0] === y[0] ? 'equal' : 'different';
    if (!isFiniteComplex(x) || !isFiniteComplex(y)) return 'unknown';
    return close(x, y, zeroFor(a, b)) ? 'equal' : 'different';
  }
  const counting = [a, b].some((node) => some(node, countsWhole)) && symbols.every((name) => countingSymbols.test(name));
  const domains: Domain[] = counting ? ['whole'] : symbols.length > 1 ? ['mixed', 'positive'] : ['mixed'];
  let result: Sampled = 'unknown';
  for (const domain of domains) {
    result = compareOver(a, b, symbols, domain, logBase);
    if (result === 'equal') return result;
  }
  return result;
}

/** Floors, factorials and signs like (−1)ⁿ are about whole numbers. */
function countsWhole(node: Node): boolean {
  if (node.kind !== 'call') return false;
  if (wholeOnly.has(node.name)) return true;
  const [base, exponent] = node.args;
  return (
    node.name === 'power' && base?.kind === 'call' && base.name === 'negate' && exponent !== undefined && symbolsOf(exponent).length > 0
  );
}

function compareOver(a: Node, b: Node, symbols: string[], domain: Domain, logBase: 10 | 'e'): Sampled {
  const zero = zeroFor(a, b);
  let defined = 0;
  for (let index = 0; index < points; index++) {
    const point = pointAt(symbols, index, domain, logBase);
    const [x, y] = [evaluateAt(a, point), evaluateAt(b, point)];
    if (!isFiniteComplex(x) || !isFiniteComplex(y)) continue;
    if (!close(x, y, zero)) return 'different';
    defined += 1;
  }
  return defined >= wanted ? 'equal' : 'unknown';
}

/** Values spread by the fractional parts of multiples of irrational steps, the same at every call. */
function pointAt(symbols: readonly string[], index: number, domain: Domain, logBase: 10 | 'e'): Point {
  const values = symbols.map((name, place): [string, Complex] => {
    const spread = (0.5 + (index + 1) * 0.6180339887498949 + (place + 1) * 0.7548776662466927 * (index + 2)) % 1;
    if (domain === 'whole') return [name, [1 + Math.floor(spread * 14), 0]];
    const size = 0.3 + 2.4 * spread;
    return [name, [domain === 'mixed' && (index * 7 + place * 3) % 5 < 2 ? -size : size, 0]];
  });
  return { symbols: new Map(values), logBase };
}

function quotient(x: Complex, y: Complex): Complex | null {
  const size = y[0] * y[0] + y[1] * y[1];
  if (!isFiniteComplex(x) || !isFiniteComplex(y) || size < 1e-18) return null;
  return [(x[0] * y[0] + x[1] * y[1]) / size, (x[1] * y[0] - x[0] * y[1]) / size];
}

function zeroFor(a: Node, b: Node): number {
  const tiny = (node: Node) => node.kind === 'number' && node.value.numerator !== 0n && Math.abs(toNumber(node.value)) < 1e-6;
  return some(a, tiny) || some(b, tiny) ? 0 : zeroError;
}

function close(x: Complex, y: Complex, zero: number): boolean {
  return magnitude(minus(x, y)) <= Math.max(zero, relativeError * Math.max(magnitude(x), magnitude(y)));
}
