import { afterAll, describe, expect, it } from 'vitest';
import { getVerifier } from '../../../../src-main/engine/verifiers/index.ts';

const maths = getVerifier('maths-2');
afterAll(() => maths.dispose?.());

/** A verdict's own second, and what starting computer algebra takes, once or after it was ended. */
const limitMs = 1000 + 1500;
const boxed = (answer: string) => `\\boxed{${answer}}`;
const upTo = (count: number, term: (index: number) => string, separator = ',') =>
  Array.from({ length: count }, (_, index) => term(index)).join(separator);

/** Name, completion, gold answer (6 when left out). Without limits most of these run for hours or end the process. */
const hostile: [name: string, completion: string, gold?: string][] = [
  ['nested braces', boxed(`${'{'.repeat(10_000)}5${'}'.repeat(10_000)}`)],
  ['nested braces under cap', boxed(`${'{'.repeat(900)}5${'}'.repeat(900)}`)],
  ['nested boxes', `${'\\boxed{'.repeat(200_000)}5${'}'.repeat(200_000)}`],
  ['nested blank boxes', `${'\\boxed{'.repeat(200_000)}${'}'.repeat(200_000)}`],
  ['unclosed boxes', '\\boxed{'.repeat(400_000)],
  ['many boxes', '\\boxed{1},'.repeat(300_000)],
  ['tower', boxed('9^{9^{9^9}}')],
  ['tower vs tower', boxed('9^{9^{9^9}}+1'), '9^{9^{9^9}}'],
  ['tower same', boxed('9^{9^{9^{9}}}'), '9^{9^{9^{10}}}'],
  ['tower with sqrt', boxed('\\sqrt{9^{9^{9^9}}}'), '\\sqrt{2}'],
  ['tower, long', boxed(`${'9^'.repeat(900)}9`)],
  ['tower int', boxed('\\int_0^1 9^{9^{9^9}} dx'), '\\int_0^2 x dx'],
  ['sum', boxed('\\sum_{k=1}^{1000000000} \\frac{1}{k^2}'), '\\sum_{k=1}^{10000000000} \\frac{1}{k^2}'],
  ['sum2', boxed('\\sum_{k=1}^{100000000} \\sin(k!)'), '\\pi'],
  ['prod', boxed('\\prod_{k=1}^{1000000} k'), '\\pi'],
  ['factorials', boxed('100000000!'), '\\sqrt{2}'],
  ['factorials2', boxed('((((100!)!)!)!)!'), '\\sqrt{2}'],
  ['binom', boxed('\\binom{100000000}{50000000}'), '\\sqrt{2}'],
  ['integral', boxed('\\int_0^{\\infty} \\frac{\\sin(x^{x^x})}{x} dx'), '\\int_0^\\infty e^{-x^2}dx'],
  ['digits', '1'.repeat(2_000_000)],
  ['boxed digits', boxed('1'.repeat(2_000_000))],
  ['boxed digits 1900', boxed('1'.repeat(1900)), `${'1'.repeat(1899)}2`],
  ['commas', '1,'.repeat(1_000_000)],
  ['boxed commas', boxed('1,'.repeat(900)), `${'1,'.repeat(800)}2`],
  ['list', boxed(upTo(60, (i) => `x^${i}+\\sqrt{${i}}`, ',')), upTo(60, (i) => `\\sqrt{${60 - i}}+x^${60 - i}`, ',')],
  [
    'list of surds',
    boxed(upTo(60, (i) => `\\frac{1}{\\sqrt{${i + 2}}}`, ',')),
    upTo(60, (i) => `\\frac{\\sqrt{${62 - i}}}{${62 - i}}`, ','),
  ],
  ['nested sets', boxed(`${'\\{1,'.repeat(300)}1${'\\}'.repeat(300)}`), `${'\\{1,'.repeat(299)}1${'\\}'.repeat(299)}`],
  ['pm list', boxed(upTo(60, (i) => `\\pm${i}`, ',')), upTo(60, (i) => `\\pm${i + 1}`, ',')],
  ['answer phrases', 'answer is '.repeat(300_000)],
  ['blanks inside a phrase', `answer${' '.repeat(3_000_000)}is`],
  ['final answers', 'final answer '.repeat(300_000)],
  ['blank lines after a phrase', `answer is${'\n'.repeat(3_000_000)}`],
  ['fractions', '\\frac{'.repeat(400_000)],
  ['half fractions', '\\frac{1}{'.repeat(300_000)],
  ['boxed half fractions', boxed(`${'\\frac{1}{'.repeat(150)}2${'}'.repeat(150)}`)],
  ['backslashes', '\\'.repeat(2_000_000)],
  ['dollars', '$'.repeat(2_000_000)],
  ['dollar pairs', '$a'.repeat(1_000_000)],
  ['open parens', '\\('.repeat(1_000_000)],
  ['open brackets', '\\['.repeat(1_000_000)],
  ['minus signs', '-'.repeat(2_000_000)],
  ['boxed minus', boxed(`${'-'.repeat(1900)}1`)],
  ['boxed parens', boxed('('.repeat(1900))],
  ['boxed parens closed', boxed(`${'('.repeat(900)}5${')'.repeat(900)}`)],
  ['boxed bars', boxed('|'.repeat(1900))],
  ['boxed bars x', boxed('|x'.repeat(900))],
  ['boxed powers', boxed(`${'9^{999}*'.repeat(200)}1`)],
  ['boxed text commands', boxed('\\text{'.repeat(300) + '}'.repeat(300))],
  ['boxed words', boxed('1a '.repeat(600))],
  ['boxed words2', boxed(`1${' cm'.repeat(600)}`)],
  ['boxed letters', boxed('x'.repeat(1900)), 'y'.repeat(1900)],
  ['boxed sums', boxed(upTo(400, (i) => `x^{${i}}`, '+').slice(0, 1990)), upTo(200, (i) => `y^{${i}}`, '+')],
  ['sqrt', boxed(`${'\\sqrt{'.repeat(250)}5${'}'.repeat(250)}`), '\\sqrt{5}'],
  ['sin', boxed(`${'\\sin '.repeat(300)}x`), '\\cos x'],
  ['matrix', boxed(`\\begin{pmatrix}${'1&'.repeat(900)}1\\end{pmatrix}`)],
  [
    'matrix 3d',
    `\\boxed{\\begin{pmatrix}${Array.from({ length: 1000 }, () => upTo(100, () => '1', '&')).join('\\\\')}\\end{pmatrix}}`,
    '\\begin{pmatrix}1\\end{pmatrix}',
  ],
  [
    'matrix 20x20',
    boxed(`\\begin{pmatrix}${Array.from({ length: 20 }, () => upTo(20, (j) => `x^${j}`, '&')).join('\\\\')}\\end{pmatrix}`),
    `\\begin{pmatrix}${Array.from({ length: 20 }, () => upTo(20, (j) => `x^{${j}}+0`, '&')).join('\\\\')}\\end{pmatrix}`,
  ],
  ['begin', boxed('\\begin{pmatrix}'.repeat(120))],
  ['equalities', boxed(`${'x='.repeat(900)}1`), '1'],
  ['inequalities', boxed(`${'x<'.repeat(7)}1`), `${'1<'.repeat(7)}x`],
  ['units', boxed(`5${'\\text{ cm}'.repeat(180)}`)],
  ['spaces', boxed(`5${' '.repeat(1900)}6`)],
  ['subs', boxed(`x${'_{1}'.repeat(400)}`)],
  ['primes', boxed(`x${"'".repeat(1900)}`), 'x'],
  ['exps', boxed(`${'e^{'.repeat(200)}x${'}'.repeat(200)}`), 'e^x'],
  ['algebra nested', boxed(`${'\\int '.repeat(100)}x`), 'x^2'],
  ['poly', boxed('(x+1)^{1000}'), '(x+2)^{1000}'],
  ['gcd etc', boxed('\\gcd(10^{100},2^{1000})'), '\\operatorname{lcm}(10^{100},3^{200})'],
  ['thousand dots', '1.'.repeat(1_000_000)],
  ['commas3', '1,111'.repeat(400_000)],
  ['decimals', boxed(`0.${'3'.repeat(1900)}`), '1/3'],
  ['overline', boxed(`0.\\overline{${'3'.repeat(1900)}}`), '1/3'],
  ['e', boxed('1e99999'), '1e99998'],
  ['think', '<think>'.repeat(300_000) + '</think>'.repeat(100_000)],
];

describe('maths-2 on hostile completions', () => {
  it.each(hostile)('%s: a verdict other than correct, in time', async (_, completion, gold = '6') => {
    const before = process.cpuUsage();
    const startedAt = performance.now();
    const { verdict } = await maths.verify({ gold, completion, finishReason: 'stop' });
    const { user, system } = process.cpuUsage(before);
    expect(['incorrect', 'unparsed']).toContain(verdict);
    expect(Math.min(performance.now() - startedAt, (user + system) / 1000)).toBeLessThan(limitMs);
  });

  it('says when a comparison ran out of time, and compares the next answer as ever', async () => {
    const endless = { gold: '\\pi', completion: boxed('\\sum_{k=1}^{100000000} \\sin(k!)'), finishReason: 'stop' as const };
    const verdicts = await Promise.all([maths.verify(endless), maths.verify(endless), maths.verify(endless)]);
    for (const result of verdicts) expect(result).toMatchObject({ verdict: 'incorrect', detail: 'the comparison ran out of time' });
    const next = { gold: '\\sqrt{8}', completion: boxed('2\\sqrt{2}'), finishReason: 'stop' as const };
    expect(await maths.verify(next)).toEqual({ verdict: 'correct', extracted: '2\\sqrt{2}' });
  });

  it('goes on after its threads were ended', async () => {
    await maths.dispose?.();
    const input = { gold: '\\sqrt{12}', completion: boxed('2\\sqrt{3}'), finishReason: 'stop' as const };
    expect((await maths.verify(input)).verdict).toBe('correct');
  });

  it('refuses to begin once it is cancelled', async () => {
    const options = { signal: AbortSignal.abort() };
    await expect(maths.verify({ gold: '6', completion: boxed('6'), finishReason: 'stop' }, options)).rejects.toMatchObject({
      code: 'cancelled',
    });
  });
});
