import { describe, expect, it } from 'vitest';
import { extractLetter } from '../../../../src-main/engine/verifiers/choice/extract-letter.ts';
import { getVerifier } from '../../../../src-main/engine/verifiers/index.ts';

describe('extractLetter', () => {
  const cases: [string, string | null, string?][] = [
    ['We compute…\nAnswer: C', 'C', 'line'],
    ['Answer: A\nNo, wait.\nAnswer: D', 'D', 'line'],
    ['**Answer: B**', 'B', 'line'],
    ['**Answer:** (B)', 'B', 'line'],
    ['Answer: $B$', 'B', 'line'],
    ['ANSWER: d', 'D', 'line'],
    ['Final Answer: E', 'E', 'line'],
    ['Answer: \\text{C}', 'C', 'line'],
    ['Answer: C) 12 metres', 'C', 'line'],
    ['Answer: B. Because it is hot', 'B', 'line'],
    ['Answer: \\boxed{A}', 'A', 'line'],
    ['Answer: J', 'J', 'line'],
    ['so it must be \\boxed{C}', 'C', 'boxed'],
    ['so it must be \\boxed{\\text{C}}', 'C', 'boxed'],
    ['so it must be \\boxed{\\textbf{(C)}\\ 12}', 'C', 'boxed'],
    ['so it must be \\boxed{(d)}', 'D', 'boxed'],
    ['so it must be \\boxed{C) 12 metres}', 'C', 'boxed'],
    ['\\boxed{A}, or rather \\boxed{B}', 'B', 'boxed'],
    ['Answer: B\nwhich I box: \\boxed{C}', 'B', 'line'],
    ['The answer is B, I think.', 'B', 'phrase'],
    ['The correct answer is (D).', 'D', 'phrase'],
    ['The correct option is **A**.', 'A', 'phrase'],
    ['Thus the final answer is: C', 'C', 'phrase'],
    ['So I choose option B.', 'B', 'phrase'],
    ['The answer would be D', 'D', 'phrase'],
    ['The answer is option (C), not A', 'C', 'phrase'],
    ['All in all:\n\nC', 'C', 'alone'],
    ['All in all:\n\n(C).', 'C', 'alone'],
    ['All in all:\n**Option C**', 'C', 'alone'],
    ['<think>Answer: A</think>\nAnswer: B', 'B', 'line'],
    ['<think>Answer: A</think>\nThe answer is B.', 'B', 'phrase'],
    ['<think>\nAnswer: A\n</think>\nDone.', 'A', 'line'],
    ['The answer is a metal.', null],
    ['The answer is A metal with 3 electrons', 'A', 'phrase'],
    ['Answer: Because of heat', null],
    ['Answer: Iron', null],
    ['Answer: K', null],
    ['Answer: 4', null],
    ["The answer is I'm not sure", null],
    ['Option A is wrong, B is hot', null],
    ['A plan is needed', null],
    ['Answer: A+B', null],
    ['so it must be \\boxed{12}', null],
    ['so it must be \\boxed{Argon}', null],
    ['', null],
  ];
  it.each(cases)('%s → %s (%s)', (completion, letter, source) => {
    expect(extractLetter(completion)).toEqual(letter === null ? null : { letter, source });
  });

  const hostile = [
    'Answer: '.repeat(500_000),
    'answer is '.repeat(400_000),
    '*'.repeat(3_000_000),
    '\n'.repeat(3_000_000),
    'choose '.repeat(400_000),
  ];
  it.each(hostile)('finds nothing in megabytes, in time (%#)', (completion) => {
    const startedAt = performance.now();
    expect(extractLetter(completion)).toBeNull();
    expect(performance.now() - startedAt).toBeLessThan(3000);
  });
});

describe('choice-1', () => {
  const choice = getVerifier('choice-1');
  const judge = (gold: string, completion: string, finishReason: 'stop' | 'length' = 'stop') =>
    choice.verify({ gold, completion, finishReason });

  it('compares letters, however the gold one is written', async () => {
    for (const gold of ['C', 'c', '(C)', '\\text{(C)}', 'C.', '$C$']) {
      expect(await judge(gold, 'Answer: C')).toEqual({ verdict: 'correct', extracted: 'C' });
      expect(await judge(gold, 'Answer: D')).toEqual({ verdict: 'incorrect', extracted: 'D' });
    }
  });

  it('tells an answer without a letter from one that was cut off', async () => {
    expect(await judge('A', 'I do not know.')).toEqual({ verdict: 'unparsed', extracted: null });
    expect(await judge('A', 'Let us see', 'length')).toEqual({ verdict: 'truncated', extracted: null });
    expect(await judge('A', 'the options are\nA', 'length')).toEqual({ verdict: 'truncated', extracted: null });
    expect(await judge('A', 'Answer: A\nbecause', 'length')).toEqual({ verdict: 'correct', extracted: 'A' });
  });

  it('refuses a gold answer that is no letter', async () => {
    await expect(judge('12', 'Answer: A')).rejects.toMatchObject({ code: 'bad-input', message: expect.stringContaining('"12"') });
  });
});
