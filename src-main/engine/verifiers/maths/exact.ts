/** The exact rational value of an expression, where it has one that is cheap to get. */
import { add, divide, multiply, negate, power, type Rational, rational } from '../rational.ts';
import type { Node } from './node.ts';

const maxFactorial = 400n;

/** Null for irrational, symbolic, undefined and too large values. A percentage is a hundredth, a degree sign changes nothing. */
export function exactValue(node: Node): Rational | null {
  if (node.kind === 'number') return node.value;
  if (node.kind !== 'call') return null;
  const values: Rational[] = [];
  for (const arg of node.args) {
    const value = exactValue(arg);
    if (!value) return null;
    values.push(value);
  }
  const [a, b] = values as [Rational, Rational];
  switch (node.name) {
    case 'add':
      return values.reduce<Rational | null>((sum, value) => sum && add(sum, value), { numerator: 0n, denominator: 1n });
    case 'multiply':
      return multiply(a, b);
    case 'divide':
      return divide(a, b);
    case 'negate':
      return negate(a);
    case 'power':
      return raised(a, b);
    case 'percent':
      return divide(a, { numerator: 100n, denominator: 1n });
    case 'degree':
      return a;
    case 'abs':
      return a.numerator < 0n ? negate(a) : a;
    case 'floor':
      return floor(a);
    case 'ceil':
      return negate(floor(negate(a)));
    case 'factorial':
      return factorial(a);
    case 'binomial':
      return binomial(a, b);
    case 'sqrt':
      return root(a, 2n);
    case 'root':
      return b.denominator === 1n && b.numerator > 0n && b.numerator < 100n ? root(a, b.numerator) : null;
    default:
      return null;
  }
}

/** Also 8^{2/3}, where the root is a whole one. */
function raised(base: Rational, exponent: Rational): Rational | null {
  if (exponent.denominator === 1n) return base.numerator === 0n && exponent.numerator <= 0n ? null : power(base, exponent);
  if (exponent.denominator > 100n || base.numerator < 0n) return null;
  const degree = root(base, exponent.denominator);
  return degree && raised(degree, { numerator: exponent.numerator, denominator: 1n });
}

function floor({ numerator, denominator }: Rational): Rational {
  const quotient = numerator / denominator;
  return { numerator: numerator < 0n && numerator % denominator !== 0n ? quotient - 1n : quotient, denominator: 1n };
}

function factorial({ numerator, denominator }: Rational): Rational | null {
  if (denominator !== 1n || numerator < 0n || numerator > maxFactorial) return null;
  let product = 1n;
  for (let factor = 2n; factor <= numerator; factor++) product *= factor;
  return { numerator: product, denominator };
}

function binomial(n: Rational, k: Rational): Rational | null {
  if (n.denominator !== 1n || k.denominator !== 1n || n.numerator < 0n || n.numerator > 10_000n) return null;
  if (k.numerator < 0n || k.numerator > n.numerator) return { numerator: 0n, denominator: 1n };
  const short = k.numerator * 2n > n.numerator ? n.numerator - k.numerator : k.numerator;
  if (short > maxFactorial) return null;
  let product = 1n;
  for (let step = 1n; step <= short; step++) product = (product * (n.numerator - short + step)) / step;
  return { numerator: product, denominator: 1n };
}

/** The root of numerator and denominator where both are whole powers; of a negative number only the odd ones are left to others. */
function root({ numerator, denominator }: Rational, degree: bigint): Rational | null {
  if (numerator < 0n) return null;
  const over = wholeRoot(numerator, degree);
  const under = wholeRoot(denominator, degree);
  return over === null || under === null ? null : rational(over, under);
}

function wholeRoot(value: bigint, degree: bigint): bigint | null {
  if (value < 2n) return value;
  let low = 1n;
  let high = 1n << (BigInt(value.toString(2).length) / degree + 1n);
  while (low < high) {
    const middle = (low + high + 1n) / 2n;
    if (middle ** degree <= value) low = middle;
    else high = middle - 1n;
  }
  return low ** degree === value ? low : null;
}
