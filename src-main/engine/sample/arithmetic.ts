/**
 * Written arithmetic as Abacus spells it out: column by column from the least digit, so that every step is a small fact and
 * only the bookkeeping is long.
 */

/** `5+8=13,4+7+1=12,3+2+1=6` for 345 + 278; a carry of 0 is left out. */
export function columnAddition(first: number, second: number): string {
  const steps: string[] = [];
  let [a, b, carry] = [first, second, 0];
  do {
    const column = (a % 10) + (b % 10) + carry;
    steps.push(`${a % 10}+${b % 10}${carry > 0 ? `+${carry}` : ''}=${column}`);
    carry = Math.floor(column / 10);
    a = Math.floor(a / 10);
    b = Math.floor(b / 10);
  } while (a > 0 || b > 0);
  return steps.join(',');
}

/** `5*6=30,4*6+3=27,3*6+2=20` for 345 × 6; a carry of 0 is left out. */
export function columnMultiplication(factor: number, digit: number): string {
  const steps: string[] = [];
  let [a, carry] = [factor, 0];
  do {
    const column = (a % 10) * digit + carry;
    steps.push(`${a % 10}*${digit}${carry > 0 ? `+${carry}` : ''}=${column}`);
    carry = Math.floor(column / 10);
    a = Math.floor(a / 10);
  } while (a > 0);
  return steps.join(',');
}

/** `22%13=9,93%13=2,22%13=9` for 2232 by 13: the remainder so far with the next digit behind it, again and again. */
export function longRemainder(value: number, modulus: number): string {
  const digits = String(value);
  const steps: string[] = [];
  let remainder = 0;
  for (const [index, digit] of [...digits].entries()) {
    const part = remainder * 10 + Number(digit);
    remainder = part % modulus;
    if (part >= modulus || index === digits.length - 1) steps.push(`${part}%${modulus}=${remainder}`);
  }
  return steps.join(',');
}

export function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
