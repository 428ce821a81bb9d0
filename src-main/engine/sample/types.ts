/**
 * What Abacus's five tasks have in common: each draws operands, words a question about them and works out the chain of thought
 * that leads to the integer answer.
 */

/** The part of a random stream that generators need; `RandomStream` provides it. */
export interface IntegerSource {
  /** A uniformly drawn integer in [low, high], both ends included. */
  integer(low: number, high: number): number;
}

export type TaskName = 'abacus-sums' | 'abacus-divisors' | 'abacus-products' | 'abacus-binary' | 'abacus-chains';

/** One problem with its worked solution, before any chat template. */
export interface WorkedProblem {
  task: TaskName;
  /** Canonical operands; problems with equal keys ask for the same calculation. */
  key: string;
  question: string;
  /** The steps between `<think>` and `</think>`. */
  reasoning: string;
  answer: string;
}

/** A family of problems. Operands are drawn first, so that the split can be decided before anything is worded. */
export interface TaskDefinition {
  name: TaskName;
  title: string;
  draw(random: IntegerSource): number[];
  /** Canonical form: equal for operand lists that ask for the same calculation. */
  key(operands: number[]): string;
  /** Symbolic question, e.g. `345+278=?`. */
  symbolic(operands: number[]): string;
  /** Word problems; `{0}`, `{1}` stand for operands, `{name}` and `{thing}` for drawn words, `{list}` for a list of operands. */
  wordings: readonly string[];
  solve(operands: number[]): { reasoning: string; answer: string };
}

/** Any of the items, uniformly. */
export function pick<T>(random: IntegerSource, items: readonly T[]): T {
  return items[random.integer(0, items.length - 1)] as T;
}
