/**
 * The greatest common divisor by Euclid: from the larger number, take away the largest multiple of the smaller one, and go on with the
 * smaller one and what is left.
 */
import { greatestCommonDivisor } from '../arithmetic.ts';
import type { IntegerSource, TaskDefinition } from '../types.ts';

const largest = 240;

export const divisors: TaskDefinition = {
  name: 'abacus-divisors',
  title: 'Greatest common divisors by Euclid',
  draw: (random) => (random.integer(0, 1) === 0 ? [random.integer(10, largest), random.integer(10, largest)] : pairWithFactor(random)),
  key: (operands) => `divisor ${[...operands].sort((a, b) => a - b).join(' ')}`,
  symbolic: ([a, b]) => `gcd(${a},${b})=?`,
  wordings: [
    'What is the greatest common divisor of {0} and {1}?',
    '{name} packs {0} red and {1} blue {thing} into equal bags with none left. At most how many bags can there be?',
    'A floor of {0} by {1} is covered with equal square tiles. How long is the side of the largest tile?',
  ],
  solve: (operands) => {
    const steps: string[] = [];
    let [a, b] = [Math.max(...operands), Math.min(...operands)];
    while (b > 0) {
      steps.push(`${a}-${a - (a % b)}=${a % b}`);
      [a, b] = [b, a % b];
    }
    return { reasoning: steps.join(','), answer: String(greatestCommonDivisor(operands[0]!, operands[1]!)) };
  },
};

/** Two multiples of a factor; most pairs drawn at random have nothing in common. */
function pairWithFactor(random: IntegerSource): number[] {
  const factor = random.integer(2, 24);
  const [least, most] = [Math.ceil(10 / factor), Math.floor(largest / factor)];
  return [factor * random.integer(least, most), factor * random.integer(least, most)];
}
