/** A number written in binary: halve until nothing is left, then read the remainders backwards. */
import type { TaskDefinition } from '../types.ts';

export const binary: TaskDefinition = {
  name: 'abacus-binary',
  title: 'Conversions to binary',
  draw: (random) => [random.integer(16, 4095)],
  key: ([value]) => `binary ${value}`,
  symbolic: ([value]) => `bin(${value})=?`,
  wordings: ['Write {0} in binary.', 'What is {0} in base 2?', '{name} counts {0} {thing} in binary. Which digits does {name} write?'],
  solve: ([value]) => {
    const steps: string[] = [];
    for (let rest = value!; rest > 0; rest = Math.floor(rest / 2)) steps.push(`${Math.floor(rest / 2)}r${rest % 2}`);
    return { reasoning: steps.join(','), answer: value!.toString(2) };
  },
};
