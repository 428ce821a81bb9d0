/** How problems of each kind are asked and judged within an evaluation: choices in seeded order, code templates, solved examples, thinking. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadExamples } from '../../../../src-main/engine/benchmarks/few-shot.ts';
import { loadBenchmark } from '../../../../src-main/engine/benchmarks/load.ts';
import { prepareEvaluation } from '../../../../src-main/engine/benchmarks/prepare.ts';
import { askQuestion, renderPrompt } from '../../../../src-main/engine/benchmarks/prompts.ts';
import { readJsonObject } from '../../../../src-main/engine/data/json-file.ts';
import { ChatTemplate } from '../../../../src-main/engine/model/chat-template.ts';
import { readModelConfig } from '../../../../src-main/engine/model/config.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { ModelTokenizer } from '../../../../src-main/engine/model/tokenizer.ts';
import type { EvaluationProtocol } from '../../../../src-preload/contract/protocol.ts';

const folder = mkdtempSync(join(tmpdir(), 'roundoff-kinds-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const write = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const dir = join(import.meta.dirname, '../../../../resources/sample/abacus');
const chat =
  '{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}';
const tokenizer = new ModelTokenizer(
  await readJsonObject(join(dir, 'tokenizer.json')),
  await readJsonObject(join(dir, 'tokenizer_config.json')),
  new ChatTemplate(chat, {}, 'test'),
);
const model = { config: { ...(await readModelConfig(dir)), contextLength: 4096 } } as LanguageModel;
const protocol: EvaluationProtocol = {
  ...{ temperature: 1, topP: 1, topK: 0, maxNewTokens: 24, seeds: [42, 43, 44], systemPrompt: null, promptTemplate: '{question} Box it.' },
  ...{ verifier: 'maths-1', problemsPerBenchmark: null },
};
const header = 'Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3\n';
const gpqa = write('gpqa.csv', `${header}${Array.from({ length: 12 }, (_, index) => `Q${index}?,yes,no 1,no 2,no 3\n`).join('')}`);

describe('multiple choice', () => {
  it('is asked in simple-evals’ words, lettered, in the order its seed gives', async () => {
    const {
      asked,
      protocol: complete,
      kinds,
    } = await prepareEvaluation({ model, tokenizer, protocol, benchmarks: [{ name: 'gpqa', path: gpqa }] });
    expect([...kinds]).toEqual(['choice']);
    expect(complete.verifiers).toEqual({ choice: 'choice-1' });
    const [first] = asked[0]!.under(42);
    expect(first!.prompt.text).toContain('where LETTER is one of ABCD. Think step by step before answering.\n\nQ0?\n\nA) ');
    expect(first!.prompt.text).not.toContain('Box it.');
    expect(first!.prompt.text).toContain(`\n${first!.problem.gold}) yes`);
    const golds = (seed: number) =>
      asked[0]!
        .under(seed)
        .map(({ problem }) => problem.gold)
        .join('');
    expect(golds(42)).not.toBe(golds(43));
    expect(golds(42)).toBe(golds(42));
  });

  it('keeps braces in a question as they are', () => {
    const asked = askQuestion({ question: '{choices}?', choices: ['{letters}', 'b'] }, 'choice', {
      promptTemplate: '',
      templates: { choice: '{question}\n{choices}\n{letters}' },
    });
    expect(asked).toBe('{choices}?\nA) {letters}\nB) b\nAB');
  });
});

it('code is asked to read its input, or to complete what is given', () => {
  const stdin = askQuestion({ question: 'Add.' }, 'code', protocol);
  expect(stdin).toMatch(/Question: Add\.[\s\S]*Read the inputs from stdin[\s\S]*# YOUR CODE HERE/);
  const starter = askQuestion({ question: 'Add.', starterCode: 'class Solution:' }, 'code', protocol);
  expect(starter).toMatch(/following starter code[\s\S]*```python\nclass Solution:\n```/);
});

describe('thinking', () => {
  const textOf = (thinking?: boolean) =>
    renderPrompt({ question: 'a' }, { ...protocol, ...(thinking === undefined ? {} : { thinking }) }, tokenizer).text;
  it('is said to the chat template when the protocol says it', () => {
    expect(textOf(false)).toContain('<think></think>');
    expect(textOf(true)).not.toContain('<think>');
    expect(textOf()).not.toContain('<think>');
  });
});

describe('solved examples', () => {
  const train = write(
    'train.jsonl',
    Array.from({ length: 9 }, (_, index) =>
      JSON.stringify({ question: `t${index}?`, answer: `so it is <<${index}=${index}>>${index}\n#### ${index}` }),
    ).join('\n'),
  );
  const fewShot = { ...protocol, fewShot: { examples: 3, seed: 7 } };
  const reference = { name: 'gsm8k', path: train, examples: train };

  it('stand before the question as a conversation, with worked solutions, the same for every problem but never itself', async () => {
    const examplesFor = await loadExamples(reference, 'maths', fewShot);
    const { problems } = await loadBenchmark({ ...reference, limit: null });
    const lists = problems.map((problem) => examplesFor(problem));
    for (const [index, list] of lists.entries()) {
      expect(list).toHaveLength(3);
      expect(list.map(({ question }) => question)).not.toContain(`t${index}? Box it.`);
    }
    expect(new Set(lists.map((list) => JSON.stringify(list))).size).toBeLessThanOrEqual(4);
    const number = /t(\d)/.exec(lists[0]![0]!.question)![1];
    expect(lists[0]![0]!.answer).toBe(`so it is ${number}\n\n\\boxed{${number}}`);
    const { text } = renderPrompt(problems[0]!, protocol, tokenizer, { examples: lists[0]! });
    expect(text.match(/<user>/g)).toHaveLength(4);
    expect(text).toMatch(/<assistant>so it is \d\n\n\\boxed\{\d\}\n<user>/);
  });

  it('depend on the seed', async () => {
    const [problem] = (await loadBenchmark({ name: 'x', path: gpqa, limit: null })).problems;
    const drawn = async (seed: number) =>
      (await loadExamples(reference, 'maths', { ...fewShot, fewShot: { examples: 3, seed } }))(problem!);
    expect(await drawn(1)).toEqual(await drawn(1));
    expect(await drawn(1)).not.toEqual(await drawn(2));
  });

  it('are refused without a file, from too small a file, and of another kind', async () => {
    await expect(loadExamples({ name: 'x', path: train }, 'maths', fewShot)).rejects.toThrow(/names no file to take them from/);
    await expect(loadExamples(reference, 'maths', { ...fewShot, fewShot: { examples: 9, seed: 1 } })).rejects.toThrow(/it has 9 problems/);
    await expect(loadExamples({ ...reference, examples: gpqa }, 'maths', fewShot)).rejects.toThrow(/of the kind choice/);
    await expect(loadExamples(reference, 'code', fewShot)).rejects.toThrow(/of the kind code/);
  });
});
