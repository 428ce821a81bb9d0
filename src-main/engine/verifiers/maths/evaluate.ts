/** The numeric value of an expression at a point, in complex doubles. */
import type { Rational } from '../rational.ts';
import * as c from './complex.ts';
import type { Node } from './node.ts';

export interface Point {
  symbols: ReadonlyMap<string, c.Complex>;
  /** Base of `\log` without one: usage differs between 10 and e. */
  logBase: 10 | 'e';
}

/** NaN parts where it is undefined or unknown. */
export function evaluateAt(node: Node, point: Point): c.Complex {
  if (node.kind === 'number') return [toNumber(node.value), 0];
  if (node.kind === 'symbol') return point.symbols.get(node.name) ?? undefinedValue;
  if (node.kind === 'constant') return constants[node.name];
  const inDegrees = trigonometric.has(node.name) && node.args.some((arg) => mentionsDegrees(arg));
  const args = node.args.map((arg) => evaluateAt(arg, point));
  if (inDegrees) args[0] = c.scaled(args[0]!, Math.PI / 180);
  return apply(node.name, args, point);
}

const undefinedValue: c.Complex = [Number.NaN, Number.NaN];
const constants: Record<'pi' | 'e' | 'i' | 'infinity', c.Complex> = {
  ...{ pi: [Math.PI, 0], e: [Math.E, 0], i: [0, 1], infinity: [Number.POSITIVE_INFINITY, 0] },
};
const trigonometric = new Set(['sin', 'cos', 'tan', 'cot', 'sec', 'csc']);

function mentionsDegrees(node: Node): boolean {
  return node.kind === 'call' && (node.name === 'degree' || node.args.some(mentionsDegrees));
}

type Operation = (a: c.Complex, b: c.Complex, point: Point) => c.Complex;
const inverse = (z: c.Complex) => c.over(c.one, z);
const tan = (z: c.Complex) => c.over(c.sin(z), c.cos(z));
const rounded =
  (round: (x: number) => number): Operation =>
  ([re, im]) => [Math.abs(im) < 1e-12 ? round(nearWhole(re)) : Number.NaN, 0];

const operations: Record<string, Operation> = {
  ...{ multiply: c.times, divide: c.over, power: c.pow, root: c.nthRoot, sqrt: (z) => c.sqrt(z) },
  ...{ negate: (z) => c.scaled(z, -1), percent: (z) => c.scaled(z, 0.01), degree: (z) => z, abs: (z) => [c.magnitude(z), 0] },
  ...{ sin: c.sin, cos: c.cos, tan, cot: (z) => inverse(tan(z)), sec: (z) => inverse(c.cos(z)), csc: (z) => inverse(c.sin(z)) },
  ...{ arcsin: c.arcsin, arccos: (z) => c.minus([Math.PI / 2, 0], c.arcsin(z)), arctan: c.arctan, arccot: (z) => c.arctan(inverse(z)) },
  ...{ sinh: c.sinh, cosh: c.cosh, tanh: (z) => c.over(c.sinh(z), c.cosh(z)), coth: (z) => c.over(c.cosh(z), c.sinh(z)) },
  ...{ ln: (z) => c.log(z), exp: (z) => c.exp(z), 'log base': (z, base) => c.over(c.log(z), c.log(base)) },
  log: (z, _, { logBase }) => (logBase === 'e' ? c.log(z) : c.scaled(c.log(z), Math.LOG10E)),
  ...{ floor: rounded(Math.floor), ceil: rounded(Math.ceil), factorial: (z) => factorial(z) },
  binomial: (n, k) => c.over(factorial(n), c.times(factorial(k), factorial(c.minus(n, k)))),
};

function apply(name: string, args: c.Complex[], point: Point): c.Complex {
  if (name === 'add') return args.reduce(c.plus, [0, 0]);
  if (name.startsWith('function ')) return unknownFunction(name, args[0]!);
  const operation = operations[name];
  return operation ? operation(args[0]!, args[1] ?? undefinedValue, point) : undefinedValue;
}

/** Undefined for whole numbers below zero. */
function factorial(z: c.Complex): c.Complex {
  const [re, im] = z;
  if (im === 0 && Number.isInteger(re) && re < 0) return undefinedValue;
  if (im === 0 && Number.isInteger(re) && re >= 0 && re <= 170) {
    let product = 1;
    for (let factor = 2; factor <= re; factor++) product *= factor;
    return [product, 0];
  }
  return c.gamma(c.plus(z, c.one));
}

/** 2.9999999999999996 is a 3 that was computed. */
function nearWhole(value: number): number {
  const whole = Math.round(value);
  return Math.abs(value - whole) <= 1e-11 * Math.max(1, Math.abs(value)) ? whole : value;
}

/** Any smooth function will do for one that is not known, as long as equal names and arguments give equal values. */
function unknownFunction(name: string, [re, im]: c.Complex): c.Complex {
  let seed = 7;
  for (const char of name) seed = (seed * 31 + char.charCodeAt(0)) % 10_007;
  return c.plus(c.sin(c.plus(c.scaled([re, im], 0.7), [seed, 0])), [1.5 + (seed % 13) / 13, 0]);
}

/** The nearest double, also where numerator and denominator are beyond doubles. */
export function toNumber({ numerator, denominator }: Rational): number {
  const direct = Number(numerator) / Number(denominator);
  if (Number.isFinite(direct) && direct !== 0) return direct;
  if (numerator === 0n) return 0;
  const size = (value: bigint) => (value < 0n ? -value : value).toString(2).length;
  const shift = size(numerator) - size(denominator) - 64;
  const quotient = shift >= 0 ? numerator / (denominator << BigInt(shift)) : (numerator << BigInt(-shift)) / denominator;
  return Number(quotient) * 2 ** shift;
}
