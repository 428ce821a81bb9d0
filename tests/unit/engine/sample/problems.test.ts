import { describe, expect, test } from 'vitest';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import {
  completionOf,
  drawDistinctProblems,
  drawGeneralText,
  drawProblem,
  type Split,
  splitOf,
  type TaskName,
  taskByName,
  tasks,
} from '../../../../src-main/engine/sample/index.ts';
import { verify } from '../../../../src-main/engine/verifiers/index.ts';

const stream = (...names: string[]) => new RandomStream(1, ...names);
const numbersIn = (text: string) => [...text.matchAll(/\d+/g)].map(([digits]) => Number(digits));

/** What each question asks for, worked out from its numbers alone and another way than the generators do. */
const expected: Record<TaskName, (values: number[]) => string> = {
  'abacus-sums': ([a, b]) => String(a! + b!),
  'abacus-binary': ([value]) => {
    let bits = '';
    for (let power = 2 ** 11; power >= 1; power /= 2) bits += Math.floor(value! / power) % 2;
    return bits.replace(/^0+/, '');
  },
  'abacus-products': ([a, b]) => String(a! * b!),
  'abacus-divisors': ([a, b]) => {
    let divisor = Math.min(a!, b!);
    while (a! % divisor > 0 || b! % divisor > 0) divisor--;
    return String(divisor);
  },
  'abacus-chains': (values) => {
    const [factor, modulus] = values.slice(-2) as [number, number];
    return String((values.slice(0, -2).reduce((sum, value) => sum + value, 0) * factor) % modulus);
  },
};

describe.each(tasks.map((task) => task.name))('%s', (name) => {
  const task = taskByName(name);

  test('asks questions whose answer follows from their numbers', () => {
    const random = stream('answers', name);
    for (let count = 0; count < 300; count++) {
      const { question, answer } = drawProblem(task, 'train', random);
      // "Base 2" belongs to the wording.
      expect(answer, question).toBe(expected[name](numbersIn(question.replace('base 2', 'binary'))));
    }
  });

  test('writes only true steps', () => {
    const random = stream('steps', name);
    for (let count = 0; count < 300; count++) {
      const { reasoning, question } = drawProblem(task, 'train', random);
      for (const [step, left, right] of reasoning.matchAll(/([\d+*%-]+)=(\d+)/g))
        expect(evaluate(left!), `${question}: ${step}`).toBe(Number(right));
    }
  });

  test('tells some problems in words and some in symbols', () => {
    const random = stream('wording', name);
    const questions = Array.from({ length: 100 }, () => drawProblem(task, 'train', random).question);
    const inWords = questions.filter((question) => / /.test(question)).length;
    expect(inWords).toBeGreaterThan(20);
    expect(inWords).toBeLessThan(60);
  });

  test('draws the same problems from the same seed', () => {
    expect(drawDistinctProblems(task, 'test', 20, stream('same', name))).toEqual(
      drawDistinctProblems(task, 'test', 20, stream('same', name)),
    );
    expect(drawDistinctProblems(task, 'test', 20, stream('same', name))).not.toEqual(
      drawDistinctProblems(task, 'test', 20, stream('other', name)),
    );
  });

  test('gives every split calculations of its own, whatever the order of the operands', () => {
    const keys = (split: Split) => new Set(drawDistinctProblems(task, split, 250, stream('splits', name)).map((problem) => problem.key));
    const [train, calibration, held] = [keys('train'), keys('calibration'), keys('test')];
    expect(new Set([...train, ...calibration, ...held]).size).toBe(750);
    for (const key of held) expect(splitOf(key)).toBe('test');
    const operands = task.draw(stream('order', name));
    const swapped = name === 'abacus-chains' ? [...operands.slice(0, -2).reverse(), ...operands.slice(-2)] : [...operands].reverse();
    expect(task.key(swapped)).toBe(task.key(operands));
  });

  test('is judged right by the verifier that evaluates it', () => {
    const problem = drawProblem(task, 'train', stream('verdict', name));
    const judge = (gold: string) => verify({ gold, completion: completionOf(problem), finishReason: 'stop' }).verdict;
    expect(judge(problem.answer)).toBe('correct');
    expect(judge(`${problem.answer}1`)).toBe('incorrect');
  });
});

test('a split that has too few problems is refused', () => {
  expect(() => drawDistinctProblems(taskByName('abacus-binary'), 'test', 5000, stream('many'))).toThrowError(
    /fewer than 5000 different test problems/,
  );
});

test('general text is prose without numbers', () => {
  const text = drawGeneralText(40, stream('text'));
  expect(text).toMatch(/^[A-Z]/);
  expect(text).not.toMatch(/[\d{}]/);
  expect(text.split('. ').length).toBe(40);
});

/** Left sides hold sums, single products with a carry, differences or one remainder. */
function evaluate(expression: string): number {
  if (expression.includes('%')) {
    const [value, modulus] = expression.split('%').map(Number) as [number, number];
    return value % modulus;
  }
  if (expression.includes('-')) {
    const [value, less] = expression.split('-').map(Number) as [number, number];
    return value - less;
  }
  const product = (text: string) => text.split('*').reduce((result, factor) => result * Number(factor), 1);
  return expression.split('+').reduce((sum, part) => sum + product(part), 0);
}
