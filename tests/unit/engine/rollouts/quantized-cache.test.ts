/** Keys and values are quantized as they enter the cache, so how a text was read, at once or token by token, makes no difference. */
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { createRandomModel } from '../../../../src-main/engine/model/init.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { plainActivations } from '../../../../src-main/engine/model/layer-activations.ts';
import { hadamardMatrix } from '../../../../src-main/engine/quantizers/hadamard.ts';
import { createGenerator } from '../../../../src-main/engine/rollouts/generator.ts';
import { TensorDecoder } from '../../../../src-main/engine/rollouts/tensor/tensor-decoder.ts';
import { testBackends } from '../ops/op-check.ts';
import { collect, requests, tinyConfigs, tinyModel, tinyNames } from './tiny-models.ts';

const text = [5, 17, 30, 8, 8, 22, 39, 11, 4, 26];

/** Keys rotated by a Hadamard matrix, keys at 4 bits and values at 3, as QuaRot has them. */
function quantizeCache(model: LanguageModel): void {
  const { headDim, layers } = model.config;
  const { values } = hadamardMatrix(headDim);
  const transform = Float32Array.from(values, (value) => value / Math.sqrt(headDim));
  const quantizer = { bits: 4, symmetric: false, clipHigh: 0.95, clipLow: 0.95, outlierThreshold: null };
  for (let index = 0; index < layers; index++) {
    const keys = { transform, queryTransform: transform, quantizer };
    model.setActivations(index, { ...plainActivations(), keys, values: { quantizer: { ...quantizer, bits: 3 } } });
  }
}

async function read(tensor: tf.Tensor): Promise<Float32Array> {
  const values = (await tensor.data<'float32'>()).slice();
  tensor.dispose();
  return values;
}

/** Logits after the last token: the first `atOnce` tokens read at once, the others one by one, in slot 1 of 2. */
async function decoded(model: LanguageModel, atOnce: number): Promise<Float32Array> {
  const decoder = new TensorDecoder(model, 2, 16);
  let logits = await read(decoder.prefill(1, text.slice(0, atOnce)));
  for (let position = atOnce; position < text.length; position++) {
    const both = await read(decoder.step(Int32Array.of(0, text[position]!), Int32Array.of(0, position)));
    logits = both.subarray(model.config.vocabSize);
  }
  decoder.dispose();
  return logits;
}

async function forward(model: LanguageModel): Promise<Float32Array> {
  const all = await read(tf.tidy(() => model.logits(model.forward(tf.tensor2d([text], undefined, 'int32')))));
  return all.subarray(all.length - model.config.vocabSize);
}

function furthest(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, index) => Math.max(most, Math.abs(value - b[index]!)), 0);
}

describe.each(testBackends)('a quantized cache on %s', (backend) => {
  const names = backend === 'wasm' ? tinyNames : tinyNames.slice(0, 1);
  it.each(names)('gives %s the same logits however the text was read', async (name) => {
    await selectBackend(backend);
    const before = tf.memory().numTensors;
    const layers = backend === 'wasm' ? {} : { layers: 1 };
    const model = backend === 'wasm' ? tinyModel(name) : createRandomModel({ ...tinyConfigs[name], ...layers }, 6, { deviation: 0.25 });
    const float = await forward(model);
    quantizeCache(model);
    const whole = await forward(model);
    expect(furthest(whole, float)).toBeGreaterThan(1e-3);
    for (const atOnce of backend === 'wasm' ? [text.length, text.length - 1, 4, 1] : [text.length, 7]) {
      expect(furthest(await decoded(model, atOnce), whole), `${atOnce} of ${text.length} tokens at once`).toBeLessThan(1e-4);
    }
    model.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('generation with a quantized cache', () => {
  it.each(['cpu', 'tensor'] as const)('by %s has the log-probabilities of one forward pass over its text', async (implementation) => {
    await selectBackend('wasm');
    const model = tinyModel('qwen3, grouped queries');
    quantizeCache(model);
    const list = requests(6, 41);
    const settings = { temperature: 0.9, topP: 1, topK: 0, maxNewTokens: 12, stopTokenIds: [], ignoreEndTokens: true, logprobs: true };
    const generator = createGenerator(model, { slots: 3, capacity: 48, implementation });
    const results = await collect(generator, list, settings);
    await generator.dispose();
    const differences: number[] = [];
    for (const { key, promptIds } of list) {
      const { tokenIds, logprobs } = results.get(key)!;
      const ids = [...promptIds, ...tokenIds];
      const rows = tf.tidy(() => tf.logSoftmax(tf.div(model.logits(model.forward(tf.tensor2d([ids], undefined, 'int32'))), 0.9)));
      const values = await read(rows);
      for (const [step, id] of tokenIds.entries()) {
        differences.push(Math.abs(values[(promptIds.length + step - 1) * 41 + id]! - logprobs![step]!));
      }
    }
    expect(differences).toHaveLength(6 * 12);
    expect(Math.max(...differences)).toBeLessThan(1e-4);
    model.dispose();
  });
});
