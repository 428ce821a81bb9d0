/**
 * Long sums, multiplied, then reduced by a modulus. The partial sums are taken in one step each and the remainder digit by digit, so
 * mistakes compound: the hardest of the five.
 */
import { columnMultiplication, longRemainder } from '../arithmetic.ts';
import { type IntegerSource, pick, type TaskDefinition } from '../types.ts';

const moduli = [7, 11, 13] as const;

/** Operands: the terms, then the factor and the modulus. */
export const chains: TaskDefinition = {
  name: 'abacus-chains',
  title: 'Long sums with a modulus',
  draw: (random) => drawChain(random, 100, 999),
  key: (operands) =>
    `chain ${operands
      .slice(0, -2)
      .sort((a, b) => a - b)
      .join(' ')} ${operands.slice(-2).join(' ')}`,
  symbolic: (operands) => `(${operands.slice(0, -2).join('+')})*${operands.at(-2)}%${operands.at(-1)}=?`,
  wordings: [
    '{name} collects {list} {thing}, each worth {factor} coins. The coins are shared by {modulus} friends. How many coins are left?',
    'Rooms with {list} seats need {factor} {thing} for each seat, in packs of {modulus}. How many {thing} are outside full packs?',
  ],
  solve: (operands) => {
    const terms = operands.slice(0, -2);
    const [factor, modulus] = operands.slice(-2) as [number, number];
    const additions: string[] = [];
    let sum = terms[0]!;
    for (const term of terms.slice(1)) {
      additions.push(`${sum}+${term}=${sum + term}`);
      sum += term;
    }
    const product = sum * factor;
    const reasoning = `${additions.join(',')};${columnMultiplication(sum, factor)};${product}:${longRemainder(product, modulus)}`;
    return { reasoning, answer: String(product % modulus) };
  },
};

/** The same with terms of two digits, which Abacus learns first. Never a benchmark. */
export const shortChains: TaskDefinition = { ...chains, draw: (random) => drawChain(random, 10, 99) };

function drawChain(random: IntegerSource, least: number, most: number): number[] {
  const terms = Array.from({ length: random.integer(3, 7) }, () => random.integer(least, most));
  return [...terms, random.integer(3, 9), pick(random, moduli)];
}
