import { describe, expect, it } from 'vitest';
import { extractAnswer, lastBoxed, verify } from '../../../../src-main/engine/verifiers/index.ts';

describe('lastBoxed', () => {
  const cases: [string, string | null][] = [
    ['\\boxed{A} then \\boxed{B}', 'B'],
    ['\\boxed{\\frac{1}{2}}', '\\frac{1}{2}'],
    ['\\boxed{\\boxed{3}}', '3'],
    ['\\boxed {5}', '5'],
    ['a set \\{1,2\\} is \\boxed{\\{1,2\\}}', '\\{1,2\\}'],
    ['a stray { before \\boxed{5}', '5'],
    ['a stray } before \\boxed{5}', '5'],
    ['put the answer in \\boxed{}. It is \\boxed{6}', '6'],
    ['\\boxed{6}, as asked in \\boxed{}', '6'],
    ['\\boxed{6} and \\boxed{7', '6'],
    ['\\boxed 5', null],
    ['\\boxed5', null],
    ['\\fbox{5}', null],
    ['\\boxedtext{5}', null],
    ['\\\\boxed{5}', null],
    ['\\boxed{ }', null],
    ['\\boxed{5', null],
    ['no box', null],
  ];
  it.each(cases)('%s → %s', (text, expected) => {
    expect(lastBoxed(text)).toBe(expected);
  });
});

describe('extractAnswer', () => {
  const cases: [string, string | null, string | null][] = [
    ['the answer is 4, no: \\boxed{5}. Check: 6', '5', 'boxed'],
    ['The final answer is 5. I tried 6 before.', '5', 'phrase'],
    ['The answer is 4. The final answer is 5. The answer is 6.', '5', 'phrase'],
    ['The answer is 4. The answer is 6.', '6', 'phrase'],
    ['**Final Answer:** $\\frac{3}{4}$ of it', '\\frac{3}{4}', 'phrase'],
    ['Answer: \\(x=3\\)', 'x=3', 'phrase'],
    ['Answer: 1,234 eggs', '1,234', 'phrase'],
    ['Answer:\n\n-12', '-12', 'phrase'],
    ['The answer is C.', 'C', 'phrase'],
    ['so 3 + 4 = 7', '7', 'number'],
    ['x goes from 5-3 to 2', '2', 'number'],
    ['it equals -3', '-3', 'number'],
    ['about 5-3', '3', 'number'],
    ['which gives \\frac{-3}{4} in all', '\\frac{-3}{4}', 'number'],
    ['she pays $18.50, she says', '$18.50', 'number'],
    ['half is 50% of it', '50%', 'number'],
    ['#### 72', '72', 'number'],
    ['no number here', null, null],
    ['', null, null],
  ];
  it.each(cases)('%s → %s (%s)', (text, expected, source) => {
    expect(extractAnswer(text)).toEqual(expected === null ? null : { text: expected, source });
  });
});

describe('hostile completions', () => {
  /** Each is one to four megabytes; quadratic work on any of them would run for hours and hit the test's time limit. */
  const hostile: [string, string][] = [
    ['nested braces', `\\boxed${'{'.repeat(10_000)}5${'}'.repeat(10_000)}`],
    ['nested boxes', `${'\\boxed{'.repeat(200_000)}5${'}'.repeat(200_000)}`],
    ['nested blank boxes', `${'\\boxed{'.repeat(200_000)}${'}'.repeat(200_000)}`],
    ['unclosed boxes', '\\boxed{'.repeat(400_000)],
    ['digits', '1'.repeat(2_000_000)],
    ['boxed digits', `\\boxed{${'1'.repeat(2_000_000)}}`],
    ['commas', '1,'.repeat(1_000_000)],
    ['answer phrases', 'answer is '.repeat(300_000)],
    ['blanks inside a phrase', `answer${' '.repeat(3_000_000)}is`],
    ['blank lines after a phrase', `answer is${'\n'.repeat(3_000_000)}`],
    ['fractions', '\\frac{'.repeat(400_000)],
    ['half fractions', '\\frac{1}{'.repeat(300_000)],
    ['backslashes', '\\'.repeat(2_000_000)],
    ['dollars', '$'.repeat(2_000_000)],
    ['minus signs', '-'.repeat(2_000_000)],
    ['boxed parentheses', `\\boxed{${'('.repeat(1_900)}}`],
    ['boxed powers', `\\boxed{${'9^{999}*'.repeat(200)}1}`],
    ['a tower of powers', `\\boxed{${'9^'.repeat(900)}9}`],
    ['boxed fractions', `\\boxed{${'\\frac{1}{'.repeat(150)}2${'}'.repeat(150)}}`],
    ['boxed text commands', `\\boxed{${'\\text{'.repeat(300)}${'}'.repeat(300)}}`],
    ['boxed words', `\\boxed{${'1a '.repeat(600)}}`],
  ];
  it.each(hostile)('%s gets a verdict other than correct for gold 6', (_, completion) => {
    expect(['incorrect', 'unparsed']).toContain(verify({ gold: '6', completion, finishReason: 'stop' }).verdict);
  });
});
