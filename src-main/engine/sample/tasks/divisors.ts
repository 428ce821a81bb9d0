/** The greatest common divisor by Euclid's remainders; every remainder is taken in one step. */
import { greatestCommonDivisor } from '../arithmetic.ts';
import type { TaskDefinition } from '../types.ts';

export const divisors: TaskDefinition = {
  name: 'abacus-divisors',
  title: 'Greatest common divisors by Euclid',
  draw: (random) => {
    // Every other pair shares a factor, or most answers would be 1.
    if (random.integer(0, 1) === 0) return [random.integer(10, 299), random.integer(10, 299)];
    const factor = random.integer(2, 24);
    const most = Math.floor(299 / factor);
    const least = Math.ceil(10 / factor);
    return [factor * random.integer(least, most), factor * random.integer(least, most)];
  },
  key: (operands) => `divisor ${[...operands].sort((a, b) => a - b).join(' ')}`,
  symbolic: ([a, b]) => `gcd({0},{1})=?`.replace('{0}', String(a)).replace('{1}', String(b)),
  wordings: [
    'What is the greatest common divisor of {0} and {1}?',
    '{name} packs {0} red and {1} blue {thing} into equal bags with none left. At most how many bags can there be?',
    'A floor of {0} by {1} is covered with equal square tiles. How long is the side of the largest tile?',
  ],
  solve: (operands) => {
    const steps: string[] = [];
    let [a, b] = operands as [number, number];
    while (b > 0) {
      steps.push(`${a}%${b}=${a % b}`);
      [a, b] = [b, a % b];
    }
    return { reasoning: steps.join(','), answer: String(greatestCommonDivisor(operands[0]!, operands[1]!)) };
  },
};
