import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { renderPrompt, renderPrompts } from '../../../../src-main/engine/benchmarks/prompts.ts';
import { readJsonObject } from '../../../../src-main/engine/data/json-file.ts';
import { loadTokenizer, ModelTokenizer } from '../../../../src-main/engine/model/tokenizer.ts';

const dir = join(import.meta.dirname, '../../../../resources/sample/abacus');
const tokenizer = await loadTokenizer(dir);
const untemplated = new ModelTokenizer(
  await readJsonObject(join(dir, 'tokenizer.json')),
  await readJsonObject(join(dir, 'tokenizer_config.json')),
  null,
);
/** Knows digits and two signs only. */
const digitsOnly = new ModelTokenizer(
  {
    model: {
      type: 'BPE',
      vocab: Object.fromEntries([...'0123456789+='].map((sign, id) => [sign, id])),
      merges: [],
      unk_token: null,
      byte_fallback: false,
    },
    added_tokens: [],
    normalizer: null,
    post_processor: null,
    pre_tokenizer: null,
    decoder: { type: 'Fuse' },
  },
  {},
  null,
);
const problem = { id: 'p1', question: '1+1=?', gold: '2' };
const plain = { systemPrompt: null, promptTemplate: '{question}' };

describe('renderPrompt', () => {
  it('uses the chat template and opens the assistant’s turn', () => {
    const prompt = renderPrompt(problem, plain, tokenizer);
    expect(prompt.text).toBe('<|user|>1+1=?<|end|><|assistant|>');
    expect(tokenizer.decode(prompt.ids)).toBe(prompt.text);
    expect(prompt.ids.filter((id) => tokenizer.specialIds.has(id))).toHaveLength(3);
  });

  it('puts the system prompt first', () => {
    const prompt = renderPrompt(problem, { ...plain, systemPrompt: 'think' }, tokenizer);
    expect(prompt.text).toBe('<|system|>think<|end|><|user|>1+1=?<|end|><|assistant|>');
    expect(renderPrompt(problem, { ...plain, systemPrompt: 'think' }, untemplated).text).toBe('think\n\n1+1=?');
  });

  it('fills the template without interpreting the question', () => {
    const question = '$& and $1 and {question}';
    const prompt = renderPrompt({ ...problem, question }, { ...plain, promptTemplate: 'a {question} b' }, untemplated);
    expect(prompt.text).toBe(`a ${question} b`);
  });
});

describe('renderPrompts', () => {
  const protocol = { ...plain, maxNewTokens: 100 };

  it('lists every problem that does not fit or cannot be expressed, with the remedy', () => {
    const problems = [problem, { ...problem, id: 'long', question: '1+'.repeat(80) }, { ...problem, id: 'words', question: 'one+1=' }];
    problems[0] = { ...problem, question: '1+1=' };
    const failure = (() => {
      try {
        return renderPrompts({ name: 'demo', problems }, protocol, digitsOnly, 128);
      } catch (error) {
        return error;
      }
    })();
    expect(failure).toMatchObject({ code: 'bad-input', hint: expect.stringMatching(/token limit to \d+ or less/) });
    const { problems: found } = failure as { problems: string[] };
    expect(found[0]).toMatch(/^demo, problem long: its prompt of \d+ tokens and 100 new ones exceed the model's context of 128/);
    expect(found[1]).toMatch(/^demo, problem words: .*cannot express/);
    expect(found).toHaveLength(2);
  });

  it('keeps the order', () => {
    const problems = ['1', '2', '3'].map((id) => ({ ...problem, id, question: `${id}=?` }));
    expect(renderPrompts({ name: 'demo', problems }, protocol, tokenizer, 512).map(({ text }) => text)).toEqual(
      problems.map(({ question }) => `<|user|>${question}<|end|><|assistant|>`),
    );
  });
});
