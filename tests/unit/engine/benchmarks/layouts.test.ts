/** One row or more of every publisher's layout, as the publishers write it; where the folder layouts come from is tested in data-source.test.ts. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { inspectBenchmark } from '../../../../src-main/engine/benchmarks/inspect.ts';
import { loadBenchmark } from '../../../../src-main/engine/benchmarks/load.ts';
import { choiceLetter, constantLetterFloor, type Problem, withSeededOrder } from '../../../../src-main/engine/benchmarks/problem.ts';

const folder = mkdtempSync(join(tmpdir(), 'roundoff-layouts-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const lines = (...rows: unknown[]) => `${rows.map((row) => JSON.stringify(row)).join('\n')}\n`;
function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}
const load = (path: string, more: object = {}) => loadBenchmark({ name: 'demo', path, limit: null, ...more });
const failureOf = (path: string, more: object = {}) =>
  load(path, more).catch((error: unknown) => error) as Promise<Error & { hint: string }>;

const gpqaRow = (question: string, right: string, ...wrong: string[]) =>
  [question, right, ...wrong].map((text) => `"${text.replaceAll('"', '""')}"`).join(',');
const gpqaCsv = (...rows: string[]) =>
  `Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3\r\n${rows.join('\r\n')}\r\n`;

describe('GPQA', () => {
  const rows = Array.from({ length: 60 }, (_, index) => gpqaRow(`Which, of "${index}"?\nLook.`, 'right', 'wrong 1', 'wrong 2', 'wrong 3'));

  it('is read from its CSV, quotes, commas and line breaks included', async () => {
    const { problems, kind } = await load(file('gpqa_diamond.csv', `\uFEFF${gpqaCsv(...rows)}`));
    expect(kind).toBe('choice');
    expect(problems).toHaveLength(60);
    expect(problems[7]).toMatchObject({ id: '8', question: 'Which, of "7"?\nLook.', seededOrder: true });
    expect(problems[7]!.choices).toEqual(['right', 'wrong 1', 'wrong 2', 'wrong 3']);
  });

  it('puts the right answer where the seed says, and nowhere else', async () => {
    const { problems } = await load(file('gpqa_seeds.csv', gpqaCsv(...rows)));
    const under = (seed: number) => problems.map((problem) => withSeededOrder(problem, seed));
    for (const { choices, gold } of under(42)) {
      expect(choices![gold.charCodeAt(0) - 65]).toBe('right');
      expect(choices!.filter((choice) => choice !== 'right')).toEqual(['wrong 1', 'wrong 2', 'wrong 3']);
    }
    const letters = (seed: number) =>
      under(seed)
        .map(({ gold }) => gold)
        .join('');
    expect(letters(42)).toBe(letters(42));
    expect(letters(42)).not.toBe(letters(43));
    expect(new Set(letters(42))).toEqual(new Set('ABCD'));
    const counts = [0, 1, 2, 3].map((index) => [...letters(42)].filter((letter) => letter === choiceLetter(index)).length);
    expect(constantLetterFloor(problems, [42])).toBe(Math.max(...counts) / 60);
  });

  it('names a row with another number of fields, and one without a choice', async () => {
    const broken = await failureOf(file('gpqa_broken.csv', gpqaCsv(rows[0]!, 'only,three,fields')));
    expect(broken.message).toMatch(/gpqa_broken\.csv, line 4: not sound CSV/);
    const missing = await failureOf(file('gpqa_missing.csv', gpqaCsv(gpqaRow('Q?', 'right', 'wrong 1', '', 'wrong 3'))));
    expect(missing.message).toMatch(/gpqa_missing\.csv, line 2: no text in "Incorrect Answer 2"/);
  });
});

describe('LiveCodeBench', () => {
  const row = {
    question_id: 'abc301_a',
    question_content: 'Add two numbers.',
    starter_code: '',
    public_test_cases: JSON.stringify([{ input: '1 2\n', output: '3\n', testtype: 'stdin' }]),
    private_test_cases: JSON.stringify([{ input: '5 6\n', output: '11\n', testtype: 'stdin' }]),
    metadata: '{}',
  };
  it('keeps starter code and finds all tests', async () => {
    const functional = {
      ...row,
      question_id: '2727',
      starter_code: 'class Solution:\n    def add(self, a: int, b: int) -> int:\n        ',
      public_test_cases: JSON.stringify([{ input: '1\n2', output: '3', testtype: 'functional' }]),
      private_test_cases: '[]',
      metadata: JSON.stringify({ func_name: 'add' }),
    };
    const { problems, kind } = await load(file('test.jsonl', lines(row, functional)));
    expect(kind).toBe('code');
    expect(problems.map(({ id, gold }) => [id, gold])).toEqual([
      ['abc301_a', 'passes all 2 tests'],
      ['2727', 'passes its test'],
    ]);
    expect(problems[0]!.starterCode).toBeUndefined();
    expect(problems[1]!.starterCode).toMatch(/^class Solution/);
    expect(problems[0]!.readTests!().cases.map(({ expected }) => expected)).toEqual(['3\n', '11\n']);
    expect(problems[1]!.readTests!()).toMatchObject({ kind: 'functional', functionName: 'add' });
  });

  it('names the row whose tests cannot be read', async () => {
    const failure = await failureOf(file('bad-tests.jsonl', lines(row, { ...row, question_id: 'b', private_test_cases: '%%%' })));
    expect(failure.message).toMatch(/bad-tests\.jsonl, line 2, private_test_cases/);
  });
});

describe('likelihood benchmarks', () => {
  it('WinoGrande: each option fills the blank, the rest of the sentence is compared', async () => {
    const row = { sentence: 'Ann beat Bea because _ was fast.', option1: 'Ann', option2: 'Bea', answer: '2' };
    const { problems, kind } = await load(file('winogrande.jsonl', lines(row)));
    expect(kind).toBe('likelihood');
    expect(problems[0]).toMatchObject({
      contexts: ['Ann beat Bea because Ann', 'Ann beat Bea because Bea'],
      choices: [' was fast.', ' was fast.'],
      gold: 'B',
    });
    const unlabelled = await failureOf(file('winogrande-test.jsonl', lines({ ...row, answer: '' })));
    expect(unlabelled.message).toMatch(/line 1: "answer" is "", not one of 1, 2/);
    expect(unlabelled.hint).toMatch(/validation split/);
  });

  it('HellaSwag: activity and context before each ending, WikiHow’s marks removed', async () => {
    const row = {
      ind: 24,
      activity_label: 'Roof shingle removal',
      ctx_a: 'A man is sitting on a roof.',
      ctx_b: 'he',
      ctx: 'A man is sitting on a roof. he',
      endings: ['is using wrap.', 'is ripping [title] tiles [step] off.', 'holds a cube.', 'starts pulling up roofing.'],
      label: '3',
    };
    const { problems } = await load(file('hellaswag.jsonl', lines(row)));
    const [problem] = problems;
    expect(problem!.contexts![0]).toBe('Roof shingle removal: A man is sitting on a roof. He');
    expect(problem!.choices![1]).toBe(' is ripping. tiles off.');
    expect(problem!.gold).toBe('D');
  });
});

describe('multiple choice with a list', () => {
  const row = { question: 'Largest?', choices: ['1', '5', '3'] };
  it.each([
    ['letter', 'B', 'B'],
    ['number counted from 0', 1, 'B'],
    ['text', '5', 'B'],
  ])('takes the answer as a %s', async (name, answer, gold) => {
    expect((await load(file(`choice-${name}.jsonl`, lines({ ...row, answer })))).problems[0]!.gold).toBe(gold);
  });
  it('refuses an answer that is none of them', async () => {
    expect((await failureOf(file('choice-bad.jsonl', lines({ ...row, answer: 'D' })))).message).toMatch(
      /the answer "D" is none of the 3 choices/,
    );
  });
  it('refuses an answer that may mean two of them', async () => {
    expect((await failureOf(file('choice-two.jsonl', lines({ ...row, answer: '1' })))).message).toMatch(
      /"1" is one choice word for word and another/,
    );
  });
});

describe('MATH, AIME and OlympiadBench', () => {
  it('keeps level, subject and tolerance', async () => {
    const math = file('math.jsonl', lines({ problem: 'P', level: 'Level 4', type: 'Algebra', solution: 'so $\\boxed{7}$' }));
    expect((await load(math)).problems[0]).toEqual({ id: '1', question: 'P', gold: '7', level: 4, subject: 'Algebra' });
    const olympiad = { id: 3, question: 'Q', final_answer: ['4.2'], unit: '%', error: '1e-1', subfield: 'Geometry' };
    expect((await load(file('olympiad.jsonl', lines(olympiad)))).problems[0]).toMatchObject({ gold: '4.2\\%', tolerance: 0.1 });
    const odd = await failureOf(file('olympiad-odd.jsonl', lines({ ...olympiad, error: 'little' })));
    expect(odd.message).toMatch(/the allowed error "little" is not a number/);
  });

  it('reads the large columns of AIME’s files', async () => {
    const aime = file('aime.csv', 'ID,Year,Problem Number,Question,Answer\n2022-I-1,2022,1,Find x.,25\n2021-I-1,2021,1,Find y.,077\n');
    const { problems } = await load(aime, { where: { Year: '2022..2025' } });
    expect(problems).toEqual([{ id: '2022-I-1', question: 'Find x.', gold: '25' }]);
  });

  it('selects by level and by value, and says when nothing is left', async () => {
    const rows = [1, 2, 3, 4, 5].map((level) => ({
      problem: `p${level}`,
      level: `Level ${level}`,
      type: level > 3 ? 'Algebra' : 'Geometry',
      answer: '1',
    }));
    const path = file('levels.jsonl', lines(...rows));
    const questions = async (where: object) => (await load(path, { where })).problems.map(({ question }) => question);
    expect(await questions({ level: '3..5' })).toEqual(['p3', 'p4', 'p5']);
    expect(await questions({ level: '1..4', type: 'algebra' })).toEqual(['p4']);
    expect((await failureOf(path, { where: { level: '7..9' } })).message).toMatch(/no row meets the condition/);
    expect((await failureOf(path, { where: { year: '7' } })).message).toMatch(/no column "year" to select by/);
  });
});

describe('mapped columns', () => {
  const csv = 'prompt,target,difficulty\n"1+1, what?",2,easy\n2+2?,,hard\n3+3?,6,easy\n';
  it('reads what they are mapped to, under the identity of the row', async () => {
    const path = file('mine.csv', csv.replace('2+2?,,hard', '2+2?,4,hard'));
    const { problems, kind } = await load(path, { columns: { question: 'prompt', answer: 'target', subject: 'difficulty' } });
    expect(kind).toBe('maths');
    expect(problems.map(({ question, gold, subject }) => [question, gold, subject])).toEqual([
      ['1+1, what?', '2', 'easy'],
      ['2+2?', '4', 'hard'],
      ['3+3?', '6', 'easy'],
    ]);
  });

  it('lists every bad row with its line', async () => {
    const path = file('mine-bad.csv', csv);
    const { problems, rows } = await inspectBenchmark({ path, columns: { question: 'prompt', answer: 'target' } });
    expect(rows).toBe(3);
    expect(problems).toMatchObject([
      { where: 'mine-bad.csv, line 3', message: expect.stringMatching(/column "target", which is mapped to "answer", is empty/) as string },
    ]);
    const wrong = await inspectBenchmark({ path, columns: { question: 'promt', answer: 'target' } });
    expect(wrong.problems).toHaveLength(3);
    expect(wrong.problems[0]!.message).toMatch(/no column "promt" for "question" \(it has prompt, target, difficulty\)/);
  });

  it('takes choices from one column each', async () => {
    const path = file('choices.csv', 'q,first,second,key\nWhich?,yes,no,B\n');
    const { problems } = await load(path, { columns: { question: 'q', choices: 'first+second', answer: 'key' } });
    expect(problems[0]).toMatchObject({ choices: ['yes', 'no'], gold: 'B' } satisfies Partial<Problem>);
    const { benchmark } = await inspectBenchmark({ path, columns: { question: 'q', choices: 'first+second', answer: 'key' } });
    expect(benchmark).toMatchObject({ problemKind: 'choice', floor: 1, columns: [{ name: 'q', example: 'Which?' }, {}, {}, {}] });
  });
});
