/** Likelihoods against transformers (make-likelihood-fixtures.py), and against sums in float64 over the recorded logits of whole vocabularies. */
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../src-main/engine/backends/select.ts';
import { scoreText, windowsOf } from '../../src-main/engine/likelihood/perplexity.ts';
import { scoreSequences } from '../../src-main/engine/likelihood/score-sequences.ts';
import { loadModel } from '../../src-main/engine/model/load.ts';
import type { ModelTokenizer } from '../../src-main/engine/model/tokenizer.ts';
import type { TextWindow } from '../../src-preload/contract/worker.ts';
import { casesFor, testBackends } from '../unit/engine/ops/op-check.ts';
import { fixturePath, type GoldenName, goldenModel } from './fixtures.ts';

interface Golden {
  sequences: { ids: number[]; from: number; logProbability: number }[];
  text: number[];
  runs: { window: number; stride: number; windows: [tokens: number, nats: number][] }[];
}
const golden = JSON.parse(readFileSync(fixturePath('likelihood.json'), 'utf8')) as Record<string, Golden>;
const names = Object.keys(golden) as GoldenName[];
/** Per scored token, in nats: float32 forward passes on both sides. */
const tolerance = 2e-4;

describe.each(testBackends)('on %s', (backend) => {
  it.each(casesFor(backend, names))('%s finds sequences as likely, alone and packed', async (name) => {
    await selectBackend(backend);
    const model = await loadModel(goldenModel(name).dir);
    const { sequences } = golden[name]!;
    const tensors = tf.memory().numTensors;
    const packed = await scoreSequences(model, sequences);
    for (const [index, { ids, from, logProbability }] of sequences.entries()) {
      const [alone] = await scoreSequences(model, [{ ids, from }]);
      expect(Math.abs(packed[index]! - logProbability) / (ids.length - from)).toBeLessThan(tolerance);
      expect(Math.abs(alone! - packed[index]!)).toBeLessThan(1e-4);
    }
    expect(tf.memory().numTensors - tensors).toBeLessThanOrEqual(2);
    model.dispose();
  });
});

it.each(names)('%s gives texts the same windows and perplexities', async (name) => {
  await selectBackend('wasm');
  const model = await loadModel(goldenModel(name).dir);
  const { text, runs } = golden[name]!;
  const tokenizer = { encode: () => text } as unknown as ModelTokenizer;
  for (const { window, stride, windows } of runs) {
    const input = { model, tokenizer, benchmark: 'text', text: '', window, stride };
    const found: TextWindow[] = [];
    await scoreText(input, windowsOf(input), { recorded: new Set(), onWindow: (each) => found.push(each) });
    expect(found.map(({ tokens }) => tokens)).toEqual(windows.map(([tokens]) => tokens));
    for (const [index, [tokens, nats]] of windows.entries()) expect(Math.abs(found[index]!.nats - nats) / tokens).toBeLessThan(tolerance);
  }
  model.dispose();
});

it('sums log-softmax in float64 over recorded logits', async () => {
  await selectBackend('wasm');
  const { dir, prompts, logits } = goldenModel('qwen2-bias');
  const model = await loadModel(dir);
  const ids = prompts[0]!;
  const logProbability = (row: readonly number[], id: number) => row[id]! - Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0));
  for (const from of [1, 4, ids.length - 1]) {
    const expected = ids.slice(from).reduce((sum, id, index) => sum + logProbability(logits[from + index - 1]!, id), 0);
    expect((await scoreSequences(model, [{ ids, from }]))[0]).toBeCloseTo(expected, 3);
  }
  model.dispose();
});
