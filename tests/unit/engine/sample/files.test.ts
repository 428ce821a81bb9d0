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
  expect(files.size).toBe(15);
  for (const [name, content] of files) expect(await readFile(join(sampleDir, name), 'utf8'), name).toBe(content);
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
