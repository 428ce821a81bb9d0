/** A number of two or three digits times one of two: a row per digit of the second factor, then the rows added by columns. */
import { columnAddition, columnMultiplication } from '../arithmetic.ts';
import type { TaskDefinition } from '../types.ts';

export const products: TaskDefinition = {
  name: 'abacus-products',
  title: 'Products by written multiplication',
  draw: (random) => [random.integer(12, 499), random.integer(11, 99)],
  key: (operands) => `product ${[...operands].sort((a, b) => a - b).join(' ')}`,
  symbolic: ([a, b]) => `${a}*${b}=?`,
  wordings: [
    'There are {0} {thing} in each of {1} boxes. How many {thing} are there in all?',
    '{name} buys {0} {thing} at {1} coins each. How many coins does {name} pay?',
    'A hall has {1} rows of {0} seats. How many seats does the hall have?',
    'What is the product of {0} and {1}?',
  ],
  solve: (operands) => {
    const [a, b] = operands as [number, number];
    const [units, tens] = [b % 10, Math.floor(b / 10)];
    const [low, high] = [a * units, a * tens * 10];
    const rows = `${columnMultiplication(a, units)};${columnMultiplication(a, tens)}`;
    return { reasoning: `${rows};${low}+${high}:${columnAddition(low, high)}`, answer: String(a * b) };
  },
};
