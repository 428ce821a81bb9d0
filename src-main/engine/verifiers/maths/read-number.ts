/** Reads `12`, `12.5`, `.5`, `4.5e33` exactly, and tells whether it is written with a decimal point. */
import { multiply, parseDecimal, power, rational } from '../rational.ts';
import type { Node } from './node.ts';

export function readNumber(text: string): Extract<Node, { kind: 'number' }> | null {
  const [digits = '', exponent] = text.toLowerCase().split('e');
  const mantissa = parseDecimal(digits);
  if (!mantissa) return null;
  const decimal = /\.\d/.test(digits);
  if (exponent === undefined) return { kind: 'number', value: mantissa, decimal };
  const ten = rational(10n);
  const size = rational(BigInt(exponent.replace('+', '') || '0'));
  const scale = ten && size && power(ten, size);
  const value = scale && multiply(mantissa, scale);
  return value && { kind: 'number', value, decimal };
}
