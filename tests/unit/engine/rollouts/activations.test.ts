import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import {
  inputSites,
  type KroneckerTransform,
  type LayerActivations,
  plainActivations,
  type TokenQuantizer,
} from '../../../../src-main/engine/model/layer-activations.ts';
import { activationSizes } from '../../../../src-main/engine/model/parameters.ts';
import { createGenerator, type SamplingSettings } from '../../../../src-main/engine/rollouts/generator.ts';
import { collect, requests, type TinyName, tinyModel } from './tiny-models.ts';

const greedy: SamplingSettings = {
  temperature: 0,
  topP: 1,
  topK: 0,
  maxNewTokens: 40,
  stopTokenIds: [],
  ignoreEndTokens: true,
  logprobs: true,
};
const sampled: SamplingSettings = { ...greedy, temperature: 0.9, topP: 0.95, maxNewTokens: 24 };
const capacity = 80;

beforeAll(async () => {
  await selectBackend('wasm');
});

/** Matrices near the identity, so that the model keeps its character. */
function matrix(size: number, stream: RandomStream): Float32Array {
  const noise = stream.normals(size * size, 0.2 / Math.sqrt(size));
  return noise.map((value, i) => value + (i % (size + 1) === 0 ? 1 : 0));
}

function randomActivations(model: LanguageModel, index: number, bits: number | null): LayerActivations {
  const stream = new RandomStream(index, 'activations');
  const sizes = activationSizes(model.config);
  const quantizer = (more: Partial<TokenQuantizer> = {}): TokenQuantizer | null =>
    bits === null ? null : { bits, symmetric: false, clipHigh: 0.95, clipLow: 0.9, outlierThreshold: null, ...more };
  const layer = plainActivations();
  for (const site of inputSites) {
    const columns = sizes[site] % 8 === 0 ? 8 : 4;
    const rows = sizes[site] / columns;
    const transform: KroneckerTransform = {
      rows,
      columns,
      left: matrix(rows, stream),
      right: site === 'attentionOutput' ? null : matrix(columns, stream),
    };
    layer[site] = { transform, quantizer: quantizer(site === 'mlpOutput' ? { symmetric: true, outlierThreshold: 1 } : {}) };
  }
  const { headDim } = model.config;
  layer.keys = { transform: matrix(headDim, stream), queryTransform: matrix(headDim, stream), quantizer: quantizer() };
  layer.values = { quantizer: quantizer({ bits: 8 }) };
  return layer;
}

describe.each(['qwen3, grouped queries', 'qwen2, odd group, attention bias', 'llama, scaled RoPE, output bias'] as TinyName[])(
  'transformed and quantized activations, %s',
  (name) => {
    const list = requests(12, 41);
    let model: LanguageModel;
    beforeAll(() => {
      model = tinyModel(name);
    });
    afterAll(() => model.dispose());
    const apply = (bits: number | null) => {
      for (let index = 0; index < model.config.layers; index++) model.setActivations(index, randomActivations(model, index, bits));
    };
    const generate = async (implementation: 'cpu' | 'tensor', slots: number, settings: SamplingSettings, threads = 2) => {
      const generator = createGenerator(model, { slots, capacity, threads, implementation });
      try {
        return await collect(generator, list, settings);
      } finally {
        await generator.dispose();
      }
    };

    it('give the same tokens on both engines when only transformed', async () => {
      apply(null);
      const [cpu, tensor] = [await generate('cpu', 5, greedy), await generate('tensor', 5, greedy)];
      for (const [key, result] of cpu) {
        expect(result.tokenIds).toEqual(tensor.get(key)!.tokenIds);
        const worst = Math.max(...result.logprobs!.map((value, step) => Math.abs(value - tensor.get(key)!.logprobs![step]!)));
        expect(worst).toBeLessThan(1e-4);
      }
    });

    // A last-bit difference before rounding can move a value to the next level, so single completions may part: most must not.
    it('give nearly always the same tokens on both engines when quantized', async () => {
      apply(8);
      const [cpu, tensor] = [await generate('cpu', 5, greedy), await generate('tensor', 5, greedy)];
      const equal = [...cpu].filter(([key, { tokenIds }]) => tokenIds.join() === tensor.get(key)!.tokenIds.join());
      expect(equal.length).toBeGreaterThanOrEqual(list.length - 2);
    });

    it('do not depend on slots, threads or company, bit for bit', async () => {
      apply(4);
      const first = await generate('cpu', 12, sampled);
      for (const [slots, threads] of [
        [1, 2],
        [4, 1],
        [9, 2],
      ] as const)
        expect(await generate('cpu', slots, sampled, threads)).toEqual(first);
    });

    it('are those of the setting they were created with', async () => {
      apply(4);
      const quantized = await generate('cpu', 5, sampled);
      for (let index = 0; index < model.config.layers; index++) model.setActivations(index, null);
      expect(await generate('cpu', 5, sampled)).not.toEqual(quantized);
    });
  },
);

describe('createGenerator', () => {
  it('chooses the decode engine for transforms it covers, tensor operations for others', () => {
    const model = tinyModel('qwen3, grouped queries');
    model.setActivations(0, randomActivations(model, 0, 4));
    const chosen = createGenerator(model, { slots: 1, capacity: 16 });
    expect(chosen.implementation).toBe('cpu');
    const layer = plainActivations();
    layer.mlpInput.transform = { rows: 16, columns: 2, left: null, right: Float32Array.of(1, 0, 0, 1) };
    model.setActivations(0, layer);
    expect(createGenerator(model, { slots: 1, capacity: 16 }).implementation).toBe('tensor');
    expect(() => createGenerator(model, { slots: 1, capacity: 16, implementation: 'cpu' })).toThrow(/columns/);
    model.dispose();
    return chosen.dispose();
  });
});
