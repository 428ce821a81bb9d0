import { describe, expect, it } from 'vitest';
import { getVerifier, sameAnswer, verify } from '../../../../src-main/engine/verifiers/index.ts';

/** Labelled pairs: gold answer, answer in the box. */
const equal: [string, string][] = [
  ['42', '42'],
  ['42', ' 42 '],
  ['42', '42.'],
  ['42', '42.0'],
  ['42', '+42'],
  ['42', '$42$'],
  ['27.0', '27'],
  ['-7', '-7'],
  ['-7', '−7'],
  ['0', '-0'],
  ['007', '7'],
  ['1/2', '0.5'],
  ['1/2', '.5'],
  ['1/2', '\\frac12'],
  ['1/2', '\\frac{1}{2}'],
  ['1/2', '\\dfrac{1}{2}'],
  ['1/2', '\\tfrac{1}{2}'],
  ['1/2', '\\frac 12'],
  ['1/2', '2/4'],
  ['0.25', '\\frac1{4}'],
  ['\\frac{1}{12}', '\\frac1{12}'],
  ['-3/4', '-\\frac{3}{4}'],
  ['-3/4', '\\frac{-3}{4}'],
  ['-3/4', '\\frac{3}{-4}'],
  ['7/2', '3\\frac{1}{2}'],
  ['1234', '1,234'],
  ['1234567.5', '1,234,567.5'],
  ['1234', '1{,}234'],
  ['10000', '10,\\!000'],
  ['10000', '10\\,000'],
  ['50%', '0.5'],
  ['0.5', '50\\%'],
  ['50\\%', '1/2'],
  ['12.5%', '\\frac{1}{8}'],
  ['5', '5 \\text{ cm}'],
  ['5', '5\\text{ cm}^2'],
  ['5', '5\\,\\mathrm{m}'],
  ['5', '5 cm'],
  ['5', '5 square units'],
  ['15', '15cm^2'],
  ['18', '18 cups of tea'],
  ['12', '$12$ km'],
  ['18', '\\$18'],
  ['18', '$18'],
  ['18', '18 dollars'],
  ['90', '90^\\circ'],
  ['90', '90^{\\circ}'],
  ['90', '90°'],
  ['1.6', '1.6 \\mathrm{~cm}'],
  ['\\frac{3}{4}', '\\frac{3}{4}\\text{ hours}'],
  ['5', 'x=5'],
  ['5', 'x = 5'],
  ['12', 'a_{3} = 12'],
  ['5', '\\text{5}'],
  ['1024', '2^{10}'],
  ['1500', '1.5\\times10^{3}'],
  ['4.5e33', '4.5\\times 10^{33}'],
  ['2e-18', '2 \\cdot 10^{-18}'],
  ['6', '2\\cdot3'],
  ['1/6', '\\frac{1}{2\\cdot3}'],
  ['\\{1,2\\}', '\\{2,1\\}'],
  ['1,2', '2, 1'],
  ['1, 2', '1 and 2'],
  ['(2,1)', '\\left( 2, 1 \\right)'],
  ['(0.5, 3)', '(\\frac{1}{2}, 3)'],
  ['[0,1)', '\\left[0, 1\\right)'],
  ['\\text{Evelyn}', 'Evelyn'],
  ['\\text{(C)}', 'C'],
  ['(B)', 'B'],
  ['x^2+1', 'x^2 + 1'],
  ['\\sqrt{2}', '\\sqrt{ 2 }'],
  ['\\left( 3, \\frac{\\pi}{2} \\right)', '(3, \\dfrac{\\pi}{2})'],
];

const different: [string, string][] = [
  ['1/3', '0.33'],
  ['1/3', '0.333333'],
  ['42', '43'],
  ['42', '-42'],
  ['42', '4 2 1'],
  ['42', '42x'],
  ['1234', '1.234'],
  ['1234', '12,34'],
  ['1', '1,000'],
  ['(2,1)', '(1,2)'],
  ['[0,1)', '(0,1)'],
  ['\\{1,2\\}', '\\{1,2,3\\}'],
  ['5', '5 million'],
  ['5', '5 or 6'],
  ['5', '5\\pi'],
  ['2', '2n'],
  ['2', '$2n$'],
  ['2', '$2 n$'],
  ['2', '2RC'],
  ['6', '6m'],
  ['1/2', '\\frac{1}{2} ab'],
  ['2', '2x+1'],
  ['6', '6m+1'],
  ['50%', '50'],
  ['0.5', '5%'],
  ['1/2', '\\frac{2}{1}'],
  ['1/0', '0'],
  ['2^{10}', '2^{11}'],
  ['\\text{Evelyn}', 'Angela'],
  ['A', 'B'],
  ['x^2', 'x^3'],
  ['5', ''],
];

const box = (answer: string) => ({ completion: `<think>1 + 1 = 2</think> So \\boxed{${answer}}`, finishReason: 'stop' as const });

describe('maths-1 comparison', () => {
  it.each(equal)('%s equals %s, in both directions', (gold, answer) => {
    expect(verify({ gold, ...box(answer) }).verdict).toBe('correct');
    expect(sameAnswer(answer, gold)).toBe(true);
  });

  it.each(different)('%s differs from %s, in both directions', (gold, answer) => {
    expect(verify({ gold, ...box(answer) }).verdict).not.toBe('correct');
    expect(sameAnswer(answer, gold)).toBe(false);
  });

  it('covers at least eighty labelled pairs', () => {
    expect(equal.length + different.length).toBeGreaterThanOrEqual(80);
  });
});

describe('maths-1 verdicts', () => {
  const cases: [string, string, 'stop' | 'length', ReturnType<typeof verify>][] = [
    ['boxed and right', 'so \\boxed{7}', 'stop', { verdict: 'correct', extracted: '7' }],
    ['boxed and wrong', 'so \\boxed{8}', 'stop', { verdict: 'incorrect', extracted: '8' }],
    ['boxed, then cut off', 'so \\boxed{7} and furtherm', 'length', { verdict: 'correct', extracted: '7' }],
    ['cut off before the box', 'so far 7 and the answer is 7, but', 'length', { verdict: 'truncated', extracted: null }],
    ['cut off inside the box', 'so \\boxed{7', 'length', { verdict: 'truncated', extracted: null }],
    ['no answer at all', 'I do not know.', 'stop', { verdict: 'unparsed', extracted: null }],
    ['empty', '', 'stop', { verdict: 'unparsed', extracted: null }],
    ['empty and cut off', '', 'length', { verdict: 'truncated', extracted: null }],
  ];

  it.each(cases)('%s', (_, completion, finishReason, expected) => {
    expect(verify({ gold: '7', completion, finishReason })).toEqual(expected);
  });

  it('is the verifier of that name', async () => {
    const input = { gold: '7', completion: 'so \\boxed{8}', finishReason: 'stop' as const };
    expect(await getVerifier('maths-1').verify(input)).toEqual(verify(input));
  });

  it('names the verifiers there are when asked for another', () => {
    expect(() => getVerifier('constructor')).toThrow(/no verifier "constructor"/);
    expect(() => getVerifier('maths-9')).toThrow(expect.objectContaining({ code: 'bad-input', hint: expect.stringContaining('maths-1') }));
  });
});
