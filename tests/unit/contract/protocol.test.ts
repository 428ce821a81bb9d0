import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { benchmarkKey, parseColumnMapping } from '#contract/benchmarks.ts';
import { completeProtocol, neededPlaceholders, promptTemplates } from '#contract/prompt-templates.ts';
import { canonicalJson, type EvaluationProtocol, evaluationProtocolSchema } from '#contract/protocol.ts';
import { protocolExtras } from '#contract/protocol-text.ts';

/** As projects before templates, thinking, examples and windows recorded it. */
const old: EvaluationProtocol = {
  ...{ temperature: 0.6, topP: 0.95, topK: 0, maxNewTokens: 256, seeds: [42, 43, 44], systemPrompt: null },
  ...{ promptTemplate: '{question}', verifier: 'maths-1', problemsPerBenchmark: 60 },
};
/** sha256 of it with sorted keys, taken down before those fields were there. */
const oldHash = 'a8822611239de167ffd5a24c722fea6c727987619817d8c949aa92c92bde6750';
const hash = (protocol: EvaluationProtocol) => createHash('sha256').update(canonicalJson(protocol)).digest('hex');

describe('a complete protocol', () => {
  it('of written answers and likelihoods is the protocol itself, so that old hashes stay', () => {
    expect(evaluationProtocolSchema.parse(old)).toEqual(old);
    expect(completeProtocol(old, ['maths', 'likelihood'])).toEqual(old);
    expect(hash(completeProtocol(old, ['maths']))).toBe(oldHash);
  });

  it('says templates, verifiers and windows of the kinds there are, keeping what was said', () => {
    const all = completeProtocol({ ...old, templates: { choice: 'Q {question} C {choices}' } }, ['choice', 'code', 'text']);
    expect(all.templates?.choice).toBe('Q {question} C {choices}');
    expect(all.templates?.codeStdin).toContain('{question}');
    expect(all.verifiers).toEqual({ choice: 'choice-1', code: 'code-1' });
    expect(all.perplexity).toEqual({ window: 2048, stride: 2048 });
    expect(completeProtocol(all, ['choice', 'code', 'text'])).toEqual(all);
    expect(hash(all)).not.toBe(hash(completeProtocol(old, ['choice', 'code', 'text'])));
    expect(protocolExtras(all).map(([label]) => label)).toHaveLength(6);
    expect(protocolExtras(old)).toEqual([]);
  });

  it('refuses templates that do not ask everything, and windows with gaps', () => {
    const problemsOf = (change: object) =>
      evaluationProtocolSchema.safeParse({ ...old, ...change }).error?.issues.map(({ message }) => message);
    expect(problemsOf({ templates: { choice: '{question}' } })).toEqual(['must contain {question} and {choices}']);
    expect(problemsOf({ templates: { codeStarter: '{question}' } })).toEqual(['must contain {question} and {starterCode}']);
    expect(problemsOf({ perplexity: { window: 100, stride: 101 } })).toEqual(['the stride must not exceed the window']);
    expect(problemsOf({ thinking: true, fewShot: { examples: 4, seed: 1 } })).toBeUndefined();
  });
});

it.each(promptTemplates.map((template) => [template.id, template] as const))(
  'template %s asks everything its kind has',
  (_, { slot, text }) => {
    for (const placeholder of neededPlaceholders[slot]) expect(text).toContain(placeholder);
  },
);

describe('references', () => {
  it('have one key per set of problems, whatever the order of their fields or their names', () => {
    const path = '/data/mine.csv';
    expect(benchmarkKey({ name: 'a', path })).toBe(path);
    const one = benchmarkKey({ name: 'a', path, columns: { question: 'q', answer: 'a' }, where: { level: '3' } });
    expect(benchmarkKey({ name: 'b', path, where: { level: '3' }, columns: { answer: 'a', question: 'q' } })).toBe(one);
    expect(benchmarkKey({ name: 'a', path, columns: { question: 'q', answer: 'b' }, where: { level: '3' } })).not.toBe(one);
    expect(benchmarkKey({ name: 'a', path, split: 'test' })).not.toBe(path);
  });

  it('read mappings from text', () => {
    expect(parseColumnMapping('question=prompt, answer=target,choices=a+b')).toEqual({
      question: 'prompt',
      answer: 'target',
      choices: 'a+b',
    });
    expect(() => parseColumnMapping('qestion=prompt')).toThrow(/"qestion=prompt" maps no column/);
    expect(() => parseColumnMapping('question')).toThrow(/maps no column/);
  });
});
