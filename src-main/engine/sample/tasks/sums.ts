/** Two numbers of three digits, added column by column. */
import { columnAddition } from '../arithmetic.ts';
import type { TaskDefinition } from '../types.ts';

export const sums: TaskDefinition = {
  name: 'abacus-sums',
  title: 'Sums of two numbers',
  draw: (random) => [random.integer(100, 999), random.integer(100, 999)],
  key: (operands) => `sum ${[...operands].sort((a, b) => a - b).join(' ')}`,
  symbolic: ([a, b]) => `${a}+${b}=?`,
  wordings: [
    '{name} has {0} {thing} and gets {1} more. How many {thing} does {name} have now?',
    '{name} sold {0} {thing} in May and {1} in June. How many {thing} were sold in all?',
    'There are {0} {thing} in one room and {1} in the other. How many {thing} are there in all?',
    'What is the sum of {0} and {1}?',
  ],
  solve: (operands) => {
    const [a, b] = operands as [number, number];
    return { reasoning: columnAddition(a, b), answer: String(a + b) };
  },
};
