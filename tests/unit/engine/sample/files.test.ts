import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import { ProblemList } from '../../../../src-main/engine/formats/problems.ts';
import { parseModelConfig } from '../../../../src-main/engine/model/config.ts';
import { loadTokenizer, type ModelTokenizer } from '../../../../src-main/engine/model/tokenizer.ts';
import {
  abacusConfig,
  abacusFiles,
  abacusPhases,
  drawGeneralText,
  sampleDataFiles,
  sampleModels,
  trainingDataOf,
} from '../../../../src-main/engine/sample/index.ts';
import { loadExamples, loadRlProblems } from '../../../../src-main/engine/training/training-data.ts';
import { verify } from '../../../../src-main/engine/verifiers/index.ts';

const sampleDir = resolve(import.meta.dirname, '../../../../resources/sample');
let dir: string;
let tokenizer: ModelTokenizer;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'roundoff-abacus-'));
  for (const [name, content] of Object.entries(abacusFiles())) await writeFile(join(dir, name), content);
  tokenizer = await loadTokenizer(dir, { vocabSize: abacusConfig.vocabSize });
});
afterAll(() => rm(dir, { recursive: true, force: true }));

test('the bundled files are what the generators make, byte for byte', async () => {
  const files = sampleDataFiles();
  for (const [folder, { config }] of Object.entries(sampleModels))
    for (const [name, content] of Object.entries(abacusFiles(config))) files.set(`${folder}/${name}`, content);
  expect(files.size).toBe(17);
  for (const [name, content] of files) expect(await readFile(join(sampleDir, name), 'utf8'), name).toBe(content);
});

test('training data is of the train split alone, and reads as examples and as problems', async () => {
  const settings = { path: join(sampleDir, 'training/abacus.jsonl'), limit: null, maxTokens: 512, promptTemplate: '{question}' };
  const examples = await loadExamples(settings, abacusConfig, tokenizer);
  expect(examples.count).toBeGreaterThan(5990);
  expect(examples.tooLong).toBe(0);
  const { problems } = await loadRlProblems(settings, 128, abacusConfig, tokenizer);
  expect(problems).toHaveLength(examples.count);
  for (const index of [0, 17, 4321]) {
    const { ids, lossStart } = examples.example(index);
    expect(Array.from(ids).slice(0, lossStart)).toEqual(problems[index]!.promptIds);
    const solution = tokenizer.decode(Array.from(ids).slice(lossStart, -1));
    expect(verify({ gold: problems[index]!.gold, completion: solution, finishReason: 'stop' }).verdict).toBe('correct');
  }
  const questions = (split: string, column: string) =>
    readFile(join(sampleDir, split), 'utf8').then((text) =>
      text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)[column] as string),
    );
  const trained = new Set(await questions('training/abacus.jsonl', 'problem'));
  for (const short of ['sums', 'binary', 'products', 'divisors', 'chains'])
    for (const question of await questions(`benchmarks/abacus-${short}.jsonl`, 'problem')) expect(trained.has(question)).toBe(false);
  for (const question of await questions('calibration/abacus.jsonl', 'prompt')) expect(trained.has(question)).toBe(false);
});

test('the configuration file describes the architecture that is trained', () => {
  const problems = new ProblemList();
  const files = abacusFiles();
  const parsed = parseModelConfig(JSON.parse(files['config.json']!), JSON.parse(files['generation_config.json']!), problems);
  expect(problems.items).toEqual([]);
  expect(parsed).toEqual(abacusConfig);
});

test('any text survives a round trip through the tokenizer', () => {
  for (const text of ['345+278=?', 'Tom has 3  apples.\n\tünïcode 世界 🙂', '<think>1+1=2</think>\\boxed{2}', ' leading, trailing ']) {
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  }
});

test('digits stay single tokens, and the words of the problems are whole ones', () => {
  expect(tokenizer.encode('1234')).toHaveLength(4);
  expect(tokenizer.encode('What is the sum of 3 and 4?')).toHaveLength(11);
  expect(tokenizer.encode('<think></think>\\boxed{')).toHaveLength(3);
});

test('training sequences are the chat template’s text with the completion as the part that counts', () => {
  const data = trainingDataOf(abacusPhases[1]!);
  expect(data.count).toBe(6000);
  const examples = Array.from({ length: 400 }, (_, index) => data.example(index));
  const problems = examples.filter((example) => example.lossStart > 1);
  expect(problems.length).toBeGreaterThan(350);
  expect(problems.length).toBeLessThan(400);
  for (const { ids, lossStart } of problems.slice(0, 50)) {
    const all = Array.from(ids);
    const text = tokenizer.decode(all.slice(0, lossStart));
    const question = /^<\|user\|>(.*)<\|end\|><\|assistant\|>$/.exec(text)![1]!;
    expect(tokenizer.encodeChat([{ role: 'user', content: question }])).toEqual(all.slice(0, lossStart));
    expect(tokenizer.decode(all.slice(lossStart))).toMatch(/^<think>[^a-z]*r?.*<\/think>\\boxed\{\d+\}<\|end\|>$/);
    expect(all.length).toBeLessThan(256);
  }
  expect(Array.from(data.example(7).ids)).toEqual(Array.from(examples[7]!.ids));
});

test('general text is made of whole words too', () => {
  const text = drawGeneralText(5, new RandomStream(3, 'words'));
  const words = text.split(/[ ]/).length;
  const punctuation = [...text.matchAll(/[.,]/g)].length;
  expect(tokenizer.encode(text)).toHaveLength(words + punctuation);
});
