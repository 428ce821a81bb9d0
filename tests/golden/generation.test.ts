import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../src-main/engine/backends/select.ts';
import type { LanguageModel } from '../../src-main/engine/model/language-model.ts';
import { loadModel } from '../../src-main/engine/model/load.ts';
import { createGenerator, type GenerationResult } from '../../src-main/engine/rollouts/generator.ts';
import { nativeBackends } from '../unit/engine/ops/op-check.ts';
import { type GoldenName, goldenModel, goldenNames } from './fixtures.ts';

const greedy = { temperature: 0, topP: 1, topK: 0, maxNewTokens: 40, stopTokenIds: [], logprobs: true };

/** Continues the golden prompts; the results in the order of the prompts. */
async function generate(
  model: LanguageModel,
  name: GoldenName,
  implementation: 'cpu' | 'tensor',
  slots: number,
): Promise<GenerationResult[]> {
  const requests = goldenModel(name).prompts.map((promptIds, index) => ({ key: String(index), promptIds, seed: 0, stream: '' }));
  const generator = createGenerator(model, { slots, capacity: 64, implementation });
  const results: GenerationResult[] = [];
  await generator.run(requests, greedy, { onResult: (result) => results.push(result) });
  await generator.dispose();
  return results.sort((a, b) => Number(a.key) - Number(b.key));
}

/** Log-probability of each token after the prompt, from one full forward pass. */
async function logprobsOf(model: LanguageModel, promptIds: number[], tokenIds: number[]): Promise<number[]> {
  const ids = tf.tensor2d([[...promptIds, ...tokenIds]], undefined, 'int32');
  const all = tf.tidy(() => tf.logSoftmax(tf.squeeze(model.logits(model.forward(ids)), [0])));
  const values = await all.data();
  const vocab = all.shape[1]!;
  tf.dispose([ids, all]);
  return tokenIds.map((id, index) => values[(promptIds.length + index - 1) * vocab + id]!);
}

it.runIf(nativeBackends.includes('tensorflow')).each(goldenNames)(
  'greedy generation of %s on tensorflow equals transformers’',
  async (name) => {
    await selectBackend('tensorflow');
    const model = await loadModel(goldenModel(name).dir);
    const results = await generate(model, name, 'tensor', 3);
    expect(results.map((result) => result.tokenIds)).toEqual(goldenModel(name).greedy);
    model.dispose();
  },
);

describe.each(goldenNames)('greedy generation of %s', (name) => {
  const golden = goldenModel(name);
  let model: LanguageModel;
  beforeAll(async () => {
    await selectBackend('wasm');
    model = await loadModel(golden.dir);
  });
  afterAll(() => model.dispose());

  it.each(['cpu', 'tensor'] as const)('equals transformers’, token by token (%s engine)', async (implementation) => {
    const results = await generate(model, name, implementation, 3);
    expect(results.map((result) => result.tokenIds)).toEqual(golden.greedy);
    expect(results.map((result) => result.finishReason)).toEqual(['length', 'length', 'length']);
  });

  it.each(['cpu', 'tensor'] as const)('decodes step by step what one full forward pass computes (%s engine)', async (implementation) => {
    for (const [index, { tokenIds, logprobs }] of (await generate(model, name, implementation, 1)).entries()) {
      const expected = await logprobsOf(model, golden.prompts[index]!, tokenIds);
      expect(Math.max(...expected.map((value, step) => Math.abs(value - logprobs![step]!)))).toBeLessThan(1e-4);
    }
  });
});
