import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCalibration } from '../../../../src-main/engine/data/calibration.ts';
import type { JsonObject } from '../../../../src-main/engine/data/json-file.ts';
import { ChatTemplate } from '../../../../src-main/engine/model/chat-template.ts';
import { ModelTokenizer } from '../../../../src-main/engine/model/tokenizer.ts';
import { chatTemplate, tokenizerConfig, tokenizerJson } from '../../../../src-main/engine/sample/tokenizer-files.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'roundoff-calibration-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const json = tokenizerJson() as JsonObject;
const config = tokenizerConfig(512) as JsonObject;
const plain = new ModelTokenizer(json, config, null);
const chatting = new ModelTokenizer(json, config, new ChatTemplate(chatTemplate, {}, 'test'));

function write(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function writeRows(name: string, rows: object[]): string {
  return write(name, rows.map((row) => JSON.stringify(row)).join('\n'));
}

/** 20 documents whose lengths are not multiples of anything; digits are one token each. */
const documents = Array.from({ length: 20 }, (_, index) => `${index % 10}`.repeat(7 + ((index * 11) % 23)));
const decode = (samples: Int32Array[]) => samples.map((ids) => plain.decode([...ids]));

describe('loadCalibration', () => {
  it('joins short documents and cuts long ones into samples of exactly the length asked for', async () => {
    const path = writeRows(
      'short.jsonl',
      documents.map((text) => ({ text })),
    );
    const samples = await loadCalibration({ path, samples: 12, sequenceLength: 16, seed: 1 }, plain);
    expect(samples.map((sample) => sample.length)).toEqual(Array(12).fill(16));
    const used = decode(samples).join('');
    const all = documents.join('');
    for (const digit of '0123456789') {
      expect(used.split(digit).length).toBeLessThanOrEqual(all.split(digit).length);
    }
  });

  it('uses every token when all are asked for, and none twice', async () => {
    const path = writeRows(
      'all.jsonl',
      documents.map((text) => ({ text })),
    );
    const total = documents.join('').length;
    const samples = await loadCalibration({ path, samples: Math.floor(total / 8), sequenceLength: 8, seed: 2 }, plain);
    const left = [...documents.join('')];
    for (const digit of decode(samples).join('')) left.splice(left.indexOf(digit), 1);
    expect(left.length).toBe(total % 8);
  });

  it('depends on the file and the seeds alone', async () => {
    const path = writeRows(
      'seeded.jsonl',
      documents.map((text) => ({ text })),
    );
    const load = (seed: number, runSeed?: number) =>
      loadCalibration({ path, samples: 10, sequenceLength: 16, seed }, plain, runSeed === undefined ? {} : { runSeed });
    const first = await load(1);
    expect(await load(1)).toEqual(first);
    expect(await load(2)).not.toEqual(first);
    expect(await load(1, 43)).not.toEqual(first);
    expect(await load(1, 43)).toEqual(await load(1, 43));
  });

  it('renders prompt and completion with the chat template', async () => {
    const path = writeRows('chat.jsonl', [{ prompt: '1+2=?', completion: '<think>3</think>\\boxed{3}' }]);
    const expected = '<|user|>1+2=?<|end|><|assistant|><think>3</think>\\boxed{3}<|end|>';
    const length = chatting.encode(expected).length;
    const [sample] = await loadCalibration({ path, samples: 1, sequenceLength: length, seed: 0 }, chatting);
    expect(chatting.decode([...sample!])).toBe(expected);
  });

  it('keeps the reasoning where a template would drop it from an earlier turn', async () => {
    const dropping =
      "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content.split('</think>')[-1] }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";
    const tokenizer = new ModelTokenizer(json, config, new ChatTemplate(dropping, {}, 'test'));
    const path = writeRows('dropping.jsonl', [{ prompt: '7', completion: '<think>8</think>9' }]);
    const expected = '<|user|>7<|assistant|><think>8</think>9';
    const [sample] = await loadCalibration({ path, samples: 1, sequenceLength: tokenizer.encode(expected).length, seed: 0 }, tokenizer);
    expect(tokenizer.decode([...sample!])).toBe(expected);
  });

  it('joins prompt and completion for a model without chat template', async () => {
    const path = writeRows('nochat.jsonl', [{ prompt: '1+2=', completion: '3' }]);
    const [sample] = await loadCalibration({ path, samples: 1, sequenceLength: 5, seed: 0 }, plain);
    expect(plain.decode([...sample!])).toBe('1+2=3');
  });

  it('divides a text file at line ends and takes its parts in a seeded order', async () => {
    const lines = Array.from({ length: 200 }, (_, index) => String(index).padStart(4, '0'));
    const path = write('lines.txt', `\uFEFF${lines.join('\r\n')}`);
    const samples = await loadCalibration({ path, samples: 50, sequenceLength: 20, seed: 3 }, plain);
    const read = decode(samples).join('').split('\n').filter(Boolean);
    expect(new Set(read)).toEqual(new Set(lines));
    expect(read).not.toEqual(lines);
  });
});

describe('what it refuses', () => {
  it('too little text, saying how many tokens there are and are needed', async () => {
    const path = writeRows('little.jsonl', [{ text: '12345' }, { text: '67890' }]);
    await expect(loadCalibration({ path, samples: 4, sequenceLength: 3, seed: 0 }, plain)).rejects.toMatchObject({
      code: 'calibration-too-short',
      message: expect.stringMatching(/10 tokens in 2 documents; 4 samples of 3 tokens need 12/),
      hint: expect.stringContaining('at most 3 samples'),
    });
  });

  it('rows of another layout, naming line and fields', async () => {
    const path = writeRows('layout.jsonl', [{ text: '1' }, { question: '1', answer: '2' }]);
    await expect(loadCalibration({ path, samples: 1, sequenceLength: 1, seed: 0 }, plain)).rejects.toMatchObject({
      code: 'dataset-invalid',
      message: expect.stringMatching(/line 2: .*question, answer/),
    });
  });

  it('files of another kind', async () => {
    await expect(loadCalibration({ path: '/data/text.docx', samples: 1, sequenceLength: 1, seed: 0 }, plain)).rejects.toMatchObject({
      code: 'bad-input',
    });
  });

  it('text the tokenizer cannot express, naming the line', async () => {
    const letters = {
      ...json,
      model: { type: 'BPE', vocab: { a: 0, b: 1 }, merges: [] },
      added_tokens: [],
      pre_tokenizer: null,
      post_processor: null,
      decoder: null,
    };
    const tokenizer = new ModelTokenizer(letters as JsonObject, {}, null);
    const path = writeRows('foreign.jsonl', [{ text: 'ab' }, { text: 'ß' }]);
    await expect(loadCalibration({ path, samples: 9, sequenceLength: 1, seed: 0 }, tokenizer)).rejects.toMatchObject({
      code: 'bad-input',
      message: expect.stringMatching(/foreign\.jsonl, line 2: .*ß/),
    });
  });
});

const dataFolder = process.env.ROUNDOFF_DATA ?? resolve(import.meta.dirname, '../../../../../shared/data');
const wikitext = join(dataFolder, 'text', 'wikitext2_valid.txt');

it('reads general text of real size', async (context) => {
  if (!existsSync(wikitext)) return context.skip(`${wikitext} is absent; set ROUNDOFF_DATA to the folder of development data`);
  const samples = await loadCalibration({ path: wikitext, samples: 64, sequenceLength: 128, seed: 7 }, plain);
  expect(samples).toHaveLength(64);
  expect(decode(samples).join('')).toContain(' the ');
});
