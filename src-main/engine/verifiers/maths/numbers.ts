/**
 * Equality of two numbers. Exact, except where one is written as a decimal: then they are equal when they agree to six decimals (to six
 * digits below 1), as Math-Verify rounds. So 1/3 is 0.333333, but never 0.33.
 */
import { add, multiply, negate, type Rational, rational } from '../rational.ts';
import { toNumber } from './evaluate.ts';

const decimals = 6;

export interface NumberRules {
  /** One of the two is written as a decimal. */
  decimal: boolean;
  /** Largest allowed distance, as the benchmark gives it. */
  tolerance?: number;
}

/** Of values that are exact. */
export function equalRationals(gold: Rational, answer: Rational, { decimal, tolerance }: NumberRules): boolean {
  if (gold.numerator === answer.numerator && gold.denominator === answer.denominator) return true;
  const distance = difference(gold, answer);
  if (!distance) return false;
  if (tolerance !== undefined && atMost(distance, decimalOf(tolerance))) return true;
  return decimal && gold.numerator !== 0n && atMost(distance, halfUnit(toNumber(gold)));
}

/** Of doubles, where at least one value is irrational. */
export function equalDoubles(gold: number, answer: number, { decimal, tolerance }: NumberRules): boolean {
  const distance = Math.abs(gold - answer);
  if (tolerance !== undefined && distance <= tolerance) return true;
  return decimal && gold !== 0 && distance <= unitOf(gold);
}

function difference(a: Rational, b: Rational): Rational | null {
  const distance = add(a, negate(b));
  return distance && distance.numerator < 0n ? negate(distance) : distance;
}

/** Half of the sixth decimal, or of the sixth digit below 1. */
function unitOf(gold: number): number {
  return 0.5 * 10 ** (Math.min(0, Math.floor(Math.log10(Math.abs(gold))) + 1) - decimals);
}

function halfUnit(gold: number): Rational {
  const shift = Math.min(0, Math.floor(Math.log10(Math.abs(gold))) + 1) - decimals;
  return { numerator: 5n, denominator: 10n ** BigInt(1 - shift) };
}

function atMost(value: Rational, limit: Rational): boolean {
  return value.numerator * limit.denominator <= limit.numerator * value.denominator;
}

/** The decimal fraction a tolerance such as 0.1 is written as, not the double beside it. */
function decimalOf(value: number): Rational {
  const [digits = '0', exponent = '0'] = value.toString().split('e');
  const [whole = '0', fraction = ''] = digits.split('.');
  const shift = Number(exponent) - fraction.length;
  const scale = { numerator: 10n ** BigInt(Math.max(0, shift)), denominator: 10n ** BigInt(Math.max(0, -shift)) };
  return multiply({ numerator: BigInt(whole + fraction), denominator: 1n }, scale) ?? rational(0n)!;
}
