/** How the size of a linear's input is split for a Kronecker transform. */
import { RoundoffError } from '#contract/errors.ts';

/** Inverting a larger factor at every step would take longer than the layer itself. */
const largestFactor = 512;

/**
 * n1 ≤ n2 with n1 · n2 = size: (a − c, a + c) with a the smallest whole number ≥ √size that makes a² − size a square c² (FlatQuant's code).
 * Twice an odd number is no difference of squares; it gets its nearest pair of divisors. A prime gets n1 = 1, one dense transform.
 * Throws `unsupported`, naming `place`, when even the best split has a factor above 512.
 */
export function kroneckerSplit(size: number, place: string): [n1: number, n2: number] {
  const [n1, n2] = size % 4 === 2 ? nearestDivisors(size) : differenceOfSquares(size);
  if (n2 <= largestFactor) return [n1, n2];
  throw new RoundoffError(
    'unsupported',
    `${place} has ${size} inputs, which split into ${n1} × ${n2} at best; FlatQuant's transforms need factors of at most ${largestFactor}.`,
    'Quantize this model with another method, such as GPTQ or QuaRot.',
  );
}

function differenceOfSquares(size: number): [number, number] {
  for (let a = Math.ceil(Math.sqrt(size)); ; a++) {
    const c = Math.round(Math.sqrt(a * a - size));
    if (c * c === a * a - size) return [a - c, a + c];
  }
}

function nearestDivisors(size: number): [number, number] {
  let n1 = Math.floor(Math.sqrt(size));
  while (size % n1 !== 0) n1--;
  return [n1, size / n1];
}
