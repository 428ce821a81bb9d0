/**
 * Draws worded problems of one task from one split. The same stream gives the same problems on every machine.
 */
import { RoundoffError } from '#contract/errors.ts';
import { type Split, splitOf } from './splits.ts';
import { binary } from './tasks/binary.ts';
import { chains } from './tasks/chains.ts';
import { divisors } from './tasks/divisors.ts';
import { products } from './tasks/products.ts';
import { sums } from './tasks/sums.ts';
import { type IntegerSource, pick, type TaskDefinition, type TaskName, type WorkedProblem } from './types.ts';

/** Easiest first. */
export const tasks: readonly TaskDefinition[] = [sums, binary, products, divisors, chains];

export const names = ['Tom', 'Ann', 'Ben', 'Mia', 'Leo', 'Zoe', 'Sam', 'Eva', 'Max', 'Ida'] as const;
export const things = ['apples', 'books', 'cards', 'coins', 'eggs', 'pens', 'shells', 'stamps', 'stones', 'tickets'] as const;

/** Share of the problems told as a word problem, in percent. */
const wordShare = 40;
const mostDraws = 10_000;

export function taskByName(name: TaskName): TaskDefinition {
  return tasks.find((task) => task.name === name)!;
}

/** One problem of the split; draws until the operands belong to it. */
export function drawProblem(task: TaskDefinition, split: Split, random: IntegerSource): WorkedProblem {
  for (let draw = 0; draw < mostDraws; draw++) {
    const operands = task.draw(random);
    const key = task.key(operands);
    if (splitOf(key) !== split) continue;
    return { task: task.name, key, question: wordQuestion(task, operands, random), ...task.solve(operands) };
  }
  throw new RoundoffError('internal', `${task.name} gave no ${split} problem in ${mostDraws} draws.`, 'Check the task’s operands.');
}

/** `count` problems with different keys. */
export function drawDistinctProblems(task: TaskDefinition, split: Split, count: number, random: IntegerSource): WorkedProblem[] {
  const found = new Map<string, WorkedProblem>();
  for (let draw = 0; found.size < count && draw < mostDraws; draw++) {
    const problem = drawProblem(task, split, random);
    if (!found.has(problem.key)) found.set(problem.key, problem);
  }
  if (found.size < count)
    throw new RoundoffError(
      'bad-input',
      `${task.name} has fewer than ${count} different ${split} problems.`,
      `Ask for at most ${found.size}.`,
    );
  return [...found.values()];
}

/** The completion Abacus is trained to give. */
export function completionOf(problem: WorkedProblem): string {
  return `<think>${problem.reasoning}</think>\\boxed{${problem.answer}}`;
}

function wordQuestion(task: TaskDefinition, operands: number[], random: IntegerSource): string {
  if (random.integer(0, 99) >= wordShare) return task.symbolic(operands);
  const words: Record<string, string> = {
    name: pick(random, names),
    thing: pick(random, things),
    list: listOf(operands.slice(0, -2)),
    factor: String(operands.at(-2)),
    modulus: String(operands.at(-1)),
  };
  return pick(random, task.wordings).replace(/\{(\w+)\}/g, (_, place: string) => words[place] ?? String(operands[Number(place)]));
}

/** `12, 45 and 38`. */
function listOf(values: number[]): string {
  return `${values.slice(0, -1).join(', ')} and ${values.at(-1)}`;
}
