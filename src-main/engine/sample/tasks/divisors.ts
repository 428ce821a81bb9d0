/**
 * The greatest common divisor as Euclid wrote it: take the smaller number away from the larger one, again and again, until both are
 * equal.
 */
import { greatestCommonDivisor } from '../arithmetic.ts';
import type { IntegerSource, TaskDefinition } from '../types.ts';

const largest = 240;
const mostSteps = 9;

export const divisors: TaskDefinition = {
  name: 'abacus-divisors',
  title: 'Greatest common divisors by Euclid',
  draw: (random) => {
    for (;;) {
      const operands = random.integer(0, 2) === 0 ? drawPair(random) : drawPairWithFactor(random);
      const steps = subtractions(operands).length;
      if (steps >= 1 && steps <= mostSteps) return operands;
    }
  },
  key: (operands) => `divisor ${[...operands].sort((a, b) => a - b).join(' ')}`,
  symbolic: ([a, b]) => `gcd(${a},${b})=?`,
  wordings: [
    'What is the greatest common divisor of {0} and {1}?',
    '{name} packs {0} red and {1} blue {thing} into equal bags with none left. At most how many bags can there be?',
    'A floor of {0} by {1} is covered with equal square tiles. How long is the side of the largest tile?',
  ],
  solve: (operands) => ({
    reasoning: subtractions(operands).join(','),
    answer: String(greatestCommonDivisor(operands[0]!, operands[1]!)),
  }),
};

/** `84-36=48`, `48-36=12`, `36-12=24`, `24-12=12` for 36 and 84; none for equal numbers. */
function subtractions(operands: number[]): string[] {
  const steps: string[] = [];
  let [low, high] = [Math.min(...operands), Math.max(...operands)];
  while (low !== high) {
    const rest = high - low;
    steps.push(`${high}-${low}=${rest}`);
    [low, high] = [Math.min(low, rest), Math.max(low, rest)];
  }
  return steps;
}

function drawPair(random: IntegerSource): number[] {
  return [random.integer(10, largest), random.integer(10, largest)];
}

/** Two multiples of a factor; most pairs drawn at random have nothing in common. */
function drawPairWithFactor(random: IntegerSource): number[] {
  const factor = random.integer(2, 30);
  const [least, most] = [Math.ceil(10 / factor), Math.floor(largest / factor)];
  return [factor * random.integer(least, most), factor * random.integer(least, most)];
}
