/**
 * The importers and the verifier on the publishers' own files. They are no part of the repository: set ROUNDOFF_DATA to a folder
 * that holds `benchmarks/`, or put it at ../shared/data beside the repository.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { inspectBenchmark } from '../../../../src-main/engine/benchmarks/inspect.ts';
import { loadBenchmark } from '../../../../src-main/engine/benchmarks/load.ts';
import { getVerifier, verify } from '../../../../src-main/engine/verifiers/index.ts';

const data = process.env.ROUNDOFF_DATA ?? resolve(import.meta.dirname, '../../../../../shared/data');
const folder = join(data, 'benchmarks');
const present = existsSync(folder);
if (!present) console.log(`Published benchmarks are not tested: there is no ${folder}. Set ROUNDOFF_DATA to the data folder to test them.`);

const load = (name: string) => loadBenchmark({ name, path: join(folder, `${name}.jsonl`), limit: null });
const rawRows = (name: string) =>
  readFileSync(join(folder, `${name}.jsonl`), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, string>);

describe.skipIf(!present)('published benchmarks', () => {
  const expected: [string, number, string][] = [
    ['math500', 500, '\\left( 3, \\frac{\\pi}{2} \\right)'],
    ['gsm8k_test', 1319, '18'],
    ['gsm8k_train', 7473, '72'],
    ['aime24', 30, '204'],
    ['amc23', 40, '27'],
    ['minerva_math', 272, '1.6'],
    ['olympiadbench', 675, '2'],
  ];
  it.each(expected)('%s has %i problems and begins with %s', async (name, rows, firstGold) => {
    const { problems } = await load(name);
    expect(problems).toHaveLength(rows);
    expect(new Set(problems.map((problem) => problem.id)).size).toBe(rows);
    expect(problems[0]?.gold).toBe(firstGold);
  });

  it('knows the layouts, levels and tolerances', async () => {
    const facts = async (name: string) => (await inspectBenchmark(join(folder, `${name}.jsonl`))).benchmark!;
    const layouts = await Promise.all(expected.map(async ([name]) => [name, (await facts(name)).layout]));
    expect(Object.fromEntries(layouts)).toEqual({
      math500: 'MATH',
      gsm8k_test: 'GSM8K',
      gsm8k_train: 'GSM8K',
      aime24: 'written answers',
      amc23: 'written answers',
      minerva_math: 'Minerva',
      olympiadbench: 'OlympiadBench',
    });
    const levels = (await facts('math500')).levels;
    expect(levels.map(({ name }) => name)).toEqual(['1', '2', '3', '4', '5']);
    expect(levels.reduce((sum, { problems }) => sum + problems, 0)).toBe(500);
    const { problems } = await load('olympiadbench');
    expect(problems.filter(({ tolerance }) => tolerance !== undefined).map(({ gold, tolerance }) => [gold, tolerance])).toEqual([
      ['4.2\\%', 0.1],
    ]);
    expect(problems.filter(({ gold }) => gold.includes(',')).length).toBeGreaterThan(90);
    const hard = await loadBenchmark({ name: 'math500', path: join(folder, 'math500.jsonl'), limit: null, where: { level: '3..5' } });
    expect(hard.problems).toHaveLength(367);
  });

  it.each(['math500', 'gsm8k_test', 'minerva_math'])('the published solutions of %s are all judged correct', async (name) => {
    const { problems } = await load(name);
    const rows = rawRows(name);
    const wrong = problems.filter((problem, index) => {
      const completion = rows[index]?.solution ?? rows[index]?.answer ?? '';
      return verify({ gold: problem.gold, completion, finishReason: 'stop' }).verdict !== 'correct';
    });
    expect(wrong).toEqual([]);
  });

  it('judges the answer to another problem correct only where the gold answers are equal', async () => {
    const { problems } = await load('gsm8k_test');
    const rows = rawRows('gsm8k_test');
    let differing = 0;
    for (const [index, problem] of problems.entries()) {
      const next = problems[(index + 1) % problems.length]!;
      const completion = rows[(index + 1) % rows.length]?.answer ?? '';
      const same = Number(problem.gold.replaceAll(',', '')) === Number(next.gold.replaceAll(',', ''));
      if (!same) differing += 1;
      expect(verify({ gold: problem.gold, completion, finishReason: 'stop' }).verdict).toBe(same ? 'correct' : 'incorrect');
    }
    expect(differing).toBeGreaterThan(1200);
  });
});

/** The same answer written otherwise, and another answer that looks alike; null where the gold answer has nothing to change. */
const respelled: [string, (gold: string) => string][] = [
  ['display fractions', (gold) => gold.replaceAll('\\frac', '\\dfrac')],
  ['blanks around signs', (gold) => gold.replace(/([+=-])/g, ' $1 ')],
  ['dollars', (gold) => (gold.includes('$') ? gold : `$${gold}$`)],
  ['a full stop', (gold) => (gold.endsWith('.') ? gold : `${gold}.`)],
  ['sqrt()', (gold) => gold.replace(/(?<![A-Za-z])\\sqrt\{([^{}]*)\}/g, ' sqrt($1)')],
  ['dots before roots and pi', (gold) => gold.replace(/(\d) ?\\(sqrt|pi)/g, '$1 \\cdot \\$2')],
];
const falsified: [string, (gold: string) => string][] = [
  ['the first digit', (gold) => gold.replace(/\d/, (digit) => String((Number(digit) + 1) % 10))],
  ['a sign', (gold) => gold.replace('+', '-')],
  ['a root', (gold) => gold.replace('\\sqrt', '')],
];

describe.skipIf(!present)('maths-2 on published gold answers', () => {
  const maths = getVerifier('maths-2');
  afterAll(() => maths.dispose?.());
  const judge = (gold: string, answer: string) => maths.verify({ gold, completion: `so \\boxed{${answer}}`, finishReason: 'stop' });
  const files = ['math500', 'gsm8k_test', 'gsm8k_train', 'aime24', 'amc23', 'minerva_math', 'olympiadbench'];

  it.each(files)('every gold answer of %s is judged equal to itself', async (name) => {
    const { problems } = await load(name);
    const wrong: string[] = [];
    for (const { id, gold } of problems) if ((await judge(gold, gold)).verdict !== 'correct') wrong.push(`${id}: ${gold}`);
    expect(wrong).toEqual([]);
  });

  it.each(['math500', 'minerva_math', 'olympiadbench'])(
    'those of %s are recognised in other spellings and told from others',
    async (name) => {
      const { problems } = await load(name);
      const wrong: string[] = [];
      let pairs = 0;
      for (const { gold } of problems) {
        for (const [kind, change] of [...respelled, ...falsified]) {
          const answer = change(gold);
          if (answer.replace(/\s/g, '') === gold.replace(/\s/g, '') && !respelled.some(([spelling]) => spelling === kind)) continue;
          pairs += 1;
          const { verdict } = await judge(gold, answer);
          if ((verdict === 'correct') !== respelled.some(([spelling]) => spelling === kind)) wrong.push(`${kind}: ${gold} → ${answer}`);
        }
      }
      expect(pairs).toBeGreaterThan(1000);
      expect(wrong).toEqual([]);
    },
  );

  it.each(['math500', 'gsm8k_test', 'minerva_math'])('the published solutions of %s are all judged correct', async (name) => {
    const { problems } = await load(name);
    const rows = rawRows(name);
    const wrong: string[] = [];
    for (const [index, { id, gold }] of problems.entries()) {
      const completion = rows[index]?.solution ?? rows[index]?.answer ?? '';
      if ((await maths.verify({ gold, completion, finishReason: 'stop' })).verdict !== 'correct') wrong.push(`${id}: ${gold}`);
    }
    expect(wrong).toEqual([]);
  });

  it('honours the error and the percent sign that OlympiadBench states', async () => {
    const { problems } = await load('olympiadbench');
    const [problem, ...others] = problems.filter(({ tolerance }) => tolerance !== undefined);
    expect(others).toEqual([]);
    const { gold, tolerance } = problem!;
    expect({ gold, tolerance }).toEqual({ gold: '4.2\\%', tolerance: 0.1 });
    const within = async (answer: string) =>
      (await maths.verify({ gold, completion: `\\boxed{${answer}}`, finishReason: 'stop', tolerance: tolerance! })).verdict;
    expect(await Promise.all(['4.2', '4.16\\%', '0.0416', '4.4', '4.4\\%', '0.044'].map(within))).toEqual([
      ...['correct', 'correct', 'correct'],
      ...['incorrect', 'incorrect', 'incorrect'],
    ]);
  });
});
