/**
 * Exact rational arithmetic on BigInt, so that 1/2 equals 0.5 and 1/3 does not equal 0.33. Sizes are bounded: a result too
 * large to be an answer is refused (null) instead of computed.
 */

/** Always reduced, denominator positive. */
export interface Rational {
  numerator: bigint;
  denominator: bigint;
}

/** Digits beyond which a number is not treated as one. */
export const maxDigits = 1000;
const maxExponent = 1000;

export function rational(numerator: bigint, denominator = 1n): Rational | null {
  if (denominator === 0n) return null;
  const sign = denominator < 0n ? -1n : 1n;
  const divisor = greatestCommonDivisor(numerator, denominator) * sign;
  return { numerator: numerator / divisor, denominator: denominator / divisor };
}

/** Reads `12`, `12.50`, `.5`. Null for anything else and for more than 1,000 digits. */
export function parseDecimal(text: string): Rational | null {
  if (text.length > maxDigits || !/^(?:\d+\.?\d*|\.\d+)$/.test(text)) return null;
  const point = text.indexOf('.');
  if (point < 0) return rational(BigInt(text));
  const decimals = text.length - point - 1;
  return rational(BigInt(text.slice(0, point) + text.slice(point + 1) || '0'), 10n ** BigInt(decimals));
}

export function add(a: Rational, b: Rational): Rational | null {
  return bounded(rational(a.numerator * b.denominator + b.numerator * a.denominator, a.denominator * b.denominator));
}

export function multiply(a: Rational, b: Rational): Rational | null {
  return bounded(rational(a.numerator * b.numerator, a.denominator * b.denominator));
}

export function divide(a: Rational, b: Rational): Rational | null {
  return b.numerator === 0n ? null : bounded(rational(a.numerator * b.denominator, a.denominator * b.numerator));
}

export function negate(a: Rational): Rational {
  return { numerator: -a.numerator, denominator: a.denominator };
}

/** Integer powers only; null for others and for results beyond the size limit. */
export function power(base: Rational, exponent: Rational): Rational | null {
  if (exponent.denominator !== 1n) return null;
  const size = exponent.numerator < 0n ? -exponent.numerator : exponent.numerator;
  if (size > BigInt(maxExponent) || digits(base) * Number(size) > 4 * maxDigits) return null;
  const raised = rational(base.numerator ** size, base.denominator ** size);
  if (!raised || exponent.numerator >= 0n) return raised;
  return rational(raised.denominator, raised.numerator);
}

/** `n` or `n/d`: equal numbers give equal text. */
export function formatRational(value: Rational): string {
  return value.denominator === 1n ? String(value.numerator) : `${value.numerator}/${value.denominator}`;
}

function bounded(value: Rational | null): Rational | null {
  return value && digits(value) <= 4 * maxDigits ? value : null;
}

/** Hexadecimal digits of the larger part; cheap, unlike decimal conversion. */
function digits(value: Rational): number {
  return Math.max(value.numerator.toString(16).length, value.denominator.toString(16).length);
}

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  let [x, y] = [a < 0n ? -a : a, b < 0n ? -b : b];
  while (y !== 0n) [x, y] = [y, x % y];
  return x === 0n ? 1n : x;
}
