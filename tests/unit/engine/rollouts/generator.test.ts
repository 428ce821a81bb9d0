import { totalmem } from 'node:os';
import type { Worker } from 'node:worker_threads';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { createRandomModel } from '../../../../src-main/engine/model/init.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { FakeQuantizedLinear } from '../../../../src-main/engine/model/linear-op.ts';
import { controlWords } from '../../../../src-main/engine/rollouts/cpu/plan.ts';
import { defaultWeightBudget, expandedWeightBytes, overBudgetReason } from '../../../../src-main/engine/rollouts/cpu/weight-budget.ts';
import { createGenerator, DropList, type GenerationResult, type SamplingSettings } from '../../../../src-main/engine/rollouts/generator.ts';
import { RoundoffError } from '../../../../src-preload/contract/errors.ts';
import { collect, requests, tinyConfigs, tinyModel, tinyNames } from './tiny-models.ts';

const sampled: SamplingSettings = { temperature: 0.9, topP: 0.95, topK: 0, maxNewTokens: 24, stopTokenIds: [7], logprobs: true };
const greedy: SamplingSettings = { ...sampled, temperature: 0, topP: 1 };
const capacity = 64;

beforeAll(async () => {
  await selectBackend('wasm');
});

/** Log-probabilities of a result's tokens by one full forward pass, at a temperature. */
async function fullForward(model: LanguageModel, promptIds: readonly number[], tokenIds: number[], temperature: number): Promise<number[]> {
  const all = tf.tidy(() => {
    const ids = tf.tensor2d([[...promptIds, ...tokenIds]], undefined, 'int32');
    return tf.logSoftmax(tf.div(tf.squeeze(model.logits(model.forward(ids)), [0]), temperature));
  });
  const values = await all.data();
  const vocab = all.shape[1]!;
  all.dispose();
  return tokenIds.map((id, index) => values[(promptIds.length + index - 1) * vocab + id]!);
}

describe.each(tinyNames)('generation, %s', (name) => {
  let model: LanguageModel;
  const list = requests(18, 41);
  beforeAll(() => {
    model = tinyModel(name);
  });
  afterAll(() => model.dispose());

  const generate = async (
    implementation: 'cpu' | 'tensor',
    slots: number,
    settings: SamplingSettings,
    options: { threads?: number } = {},
  ) => {
    const generator = createGenerator(model, { slots, capacity, implementation, ...options });
    try {
      return await collect(generator, list, settings);
    } finally {
      await generator.dispose();
    }
  };

  it('gives the same tokens on both engines, and the log-probabilities of one full forward pass', async () => {
    for (const settings of [greedy, sampled]) {
      const cpu = await generate('cpu', 5, settings);
      const tensor = await generate('tensor', 5, settings);
      expect(cpu.size).toBe(list.length);
      for (const { key, promptIds } of list) {
        const [a, b] = [cpu.get(key)!, tensor.get(key)!];
        expect(a.tokenIds).toEqual(b.tokenIds);
        expect(a.finishReason).toBe(b.finishReason);
        const expected = await fullForward(model, promptIds, a.tokenIds, settings.temperature || 1);
        for (const result of [a, b]) {
          const worst = Math.max(...expected.map((value, step) => Math.abs(value - result.logprobs![step]!)));
          expect(worst).toBeLessThan(1e-4);
        }
      }
    }
  });

  it('does not depend on slots, threads or company, bit for bit', async () => {
    const first = await generate('cpu', 18, sampled, { threads: 2 });
    const variants: [number, number][] = [
      [1, 2],
      [3, 1],
      [9, 2],
    ];
    for (const [slots, threads] of variants) expect(await generate('cpu', slots, sampled, { threads })).toEqual(first);
    const generator = createGenerator(model, { slots: 4, capacity });
    const shuffled = [...list].reverse().filter((_, index) => index % 3 !== 1);
    const some = await collect(generator, shuffled, sampled);
    await generator.dispose();
    expect(some.size).toBe(12);
    for (const [key, result] of some) expect(result).toEqual(first.get(key));
  });

  it('gives up what is dropped while it runs, and changes nothing for the rest', async () => {
    const all = await generate('cpu', 5, sampled);
    for (const implementation of ['cpu', 'tensor'] as const) {
      const generator = createGenerator(model, { slots: 4, capacity, implementation, threads: 2 });
      const dropList = new DropList(list.length);
      const kept = new Map<string, GenerationResult>();
      dropList.drop(17);
      const onResult = (result: GenerationResult) => {
        kept.set(result.key, result);
        if (kept.size === 1) for (let index = 10; index < 17; index++) dropList.drop(index);
      };
      await generator.run(list, { ...sampled, logprobs: true }, { dropList, onResult });
      await generator.dispose();
      for (const { key } of list.slice(0, 10)) expect(kept.has(key)).toBe(true);
      expect(kept.has(list[17]!.key)).toBe(false);
      // Decode threads may be done with all of them before the message that the first has ended is read.
      if (implementation === 'tensor') expect(kept.size).toBeLessThan(17);
      for (const [key, result] of kept) expect(result.tokenIds).toEqual(all.get(key)!.tokenIds);
    }
  });

  it('ends by end token, stop token and length', async () => {
    const results = [...(await generate('cpu', 6, sampled)).values()];
    const lastOf = (result: GenerationResult) => result.tokenIds.at(-1)!;
    for (const result of results) {
      const stops = result.tokenIds.filter((id) => id === 3 || id === 7);
      if (result.finishReason === 'stop') expect(stops).toEqual([lastOf(result)]);
      else {
        expect(stops).toEqual([]);
        expect(result.tokenIds).toHaveLength(24);
      }
    }
    expect(new Set(results.map(({ finishReason }) => finishReason))).toEqual(new Set(['stop', 'length']));
  });
});

describe('generation at the sample model’s sizes', () => {
  const sizes = { hiddenSize: 128, intermediateSize: 384, layers: 2, heads: 4, kvHeads: 2, headDim: 32, vocabSize: 448 };

  it('does not depend on slots or threads, with and without log-probabilities', async () => {
    const config = { ...tinyConfigs['qwen3, grouped queries'], ...sizes };
    const model = createRandomModel(config, 4, { deviation: 0.15 });
    const list = requests(40, 448, 40);
    const generate = async (slots: number, settings: SamplingSettings) => {
      const generator = createGenerator(model, { slots, capacity });
      const results = await collect(generator, list, settings);
      await generator.dispose();
      return results;
    };
    const all = await generate(40, sampled);
    expect(await generate(11, sampled)).toEqual(all);
    expect(await generate(2, sampled)).toEqual(all);
    const tokens = (results: Map<string, GenerationResult>) => [...results.values()].map(({ tokenIds }) => tokenIds);
    expect(tokens(await generate(24, { ...sampled, logprobs: false }))).toEqual(tokens(all));
    model.dispose();
  });
});

describe('generator', () => {
  let model: LanguageModel;
  beforeAll(() => {
    model = tinyModel('qwen3, grouped queries');
  });
  afterAll(() => model.dispose());
  const failure = async (promise: Promise<unknown>): Promise<RoundoffError> => {
    const error = await promise.then(
      () => null,
      (thrown) => thrown,
    );
    expect(error).toBeInstanceOf(RoundoffError);
    return error as RoundoffError;
  };
  const ignore = { onResult: () => {} };

  it.each(['cpu', 'tensor'] as const)('returns its memory and can be used again (%s)', async (implementation) => {
    model.rotary.upTo(capacity);
    const before = { ...tf.memory() };
    const generator = createGenerator(model, { slots: 4, capacity, implementation });
    const first = await collect(generator, requests(9, 41), sampled);
    expect(await collect(generator, requests(9, 41), sampled)).toEqual(first);
    await generator.dispose();
    expect(tf.memory().numTensors).toBe(before.numTensors);
    expect(tf.memory().numBytes).toBe(before.numBytes);
  });

  it.each(['cpu', 'tensor'] as const)('refuses requests and settings it cannot honour (%s)', async (implementation) => {
    const generator = createGenerator(model, { slots: 2, capacity: 30, implementation });
    const [request] = requests(1, 41);
    const run = (changes: object, settings = sampled) => failure(generator.run([{ ...request!, ...changes }], settings, ignore));
    expect(await run({ promptIds: Array(7).fill(5) })).toMatchObject({
      code: 'bad-input',
      message: 'Cannot generate for problem-0: 7 prompt tokens and 24 new ones exceed the capacity of 30.',
    });
    expect((await run({ promptIds: [] })).message).toMatch(/empty/);
    expect((await run({ promptIds: [41] })).message).toMatch(/token 41 lies outside the vocabulary of 41/);
    const bad = { temperature: -1, topP: 0, topK: 0.5, maxNewTokens: 0, stopTokenIds: [] };
    expect((await run({}, bad)).problems).toHaveLength(4);
    await generator.dispose();
  });

  it('refuses sizes that make no sense', () => {
    expect(() => createGenerator(model, { slots: 0, capacity })).toThrow(/slots/);
    expect(() => createGenerator(model, { slots: 1, capacity: 1.5 })).toThrow(/capacity/);
    expect(() => createGenerator(model, { slots: 4096, capacity: 8192 })).toThrow(/GiB/);
  });

  it.each(['cpu', 'tensor'] as const)('stops when cancelled, and runs again after it (%s)', async (implementation) => {
    const generator = createGenerator(model, { slots: 2, capacity: 256, implementation });
    const controller = new AbortController();
    const long = { ...sampled, maxNewTokens: 200, stopTokenIds: [] };
    const results: string[] = [];
    const run = generator.run(requests(200, 41), long, {
      signal: controller.signal,
      onResult: ({ key }) => {
        results.push(key);
        controller.abort();
      },
    });
    expect((await failure(run)).code).toBe('cancelled');
    expect(results.length).toBeGreaterThan(0);
    expect(results.length).toBeLessThan(200);
    expect((await failure(generator.run(requests(1, 41), long, { ...ignore, signal: controller.signal }))).code).toBe('cancelled');
    expect((await collect(generator, requests(3, 41), sampled)).size).toBe(3);
    await generator.dispose();
  });

  it.each(['cpu', 'tensor'] as const)('reports progress up to the end (%s)', async (implementation) => {
    const generator = createGenerator(model, { slots: 3, capacity, implementation });
    const seen: number[] = [];
    let last = {};
    const results = await collect(generator, requests(7, 41), sampled, {
      onProgress: (progress) => {
        seen.push(progress.generatedTokens);
        last = progress;
      },
    });
    const generatedTokens = [...results.values()].reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
    expect(last).toEqual({ finished: 7, total: 7, generatedTokens });
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    await generator.dispose();
  });

  it.each(['cpu', 'tensor'] as const)('passes on what callbacks throw (%s)', async (implementation) => {
    const generator = createGenerator(model, { slots: 2, capacity, implementation });
    const onResult = () => {
      throw new Error('the disk is full');
    };
    await expect(generator.run(requests(5, 41), sampled, { onResult })).rejects.toThrow('the disk is full');
    const onProgress = () => {
      throw new Error('the window is gone');
    };
    await expect(generator.run(requests(5, 41), sampled, { onResult: () => {}, onProgress })).rejects.toThrow('the window is gone');
    await generator.dispose();
  });

  it('runs one batch at a time, and none once disposed', async () => {
    const generator = createGenerator(model, { slots: 2, capacity, implementation: 'cpu' });
    const run = generator.run(requests(3, 41), sampled, ignore);
    expect((await failure(generator.run(requests(1, 41), sampled, ignore))).message).toBe('the generator is running');
    expect((await failure(generator.dispose())).message).toBe('the generator is running');
    await run;
    await generator.dispose();
    await generator.dispose();
    expect((await failure(generator.run(requests(1, 41), sampled, ignore))).message).toBe('the generator is disposed');
  });

  it('reports a decode thread that dies, and runs again with new ones', async () => {
    const generator = createGenerator(model, { slots: 8, capacity: 256, threads: 2 });
    const { pool, control } = generator as unknown as { pool: { threads: Worker[] }; control: Int32Array };
    const long = { ...sampled, maxNewTokens: 200, stopTokenIds: [], ignoreEndTokens: true };
    // Not while it loads its native library, which does not bear that.
    const onResult = () => void (control[controlWords.tokens]! > 0 && pool.threads[0]!.terminate());
    expect(await failure(generator.run(requests(400, 41), long, { onResult }))).toMatchObject({ code: 'internal' });
    expect((await collect(generator, requests(5, 41), sampled)).size).toBe(5);
    await generator.dispose();
  });

  it.each(['cpu', 'tensor'] as const)('names broken weights (%s)', async (implementation) => {
    const broken = tinyModel('qwen3, grouped queries');
    const norm = broken.parameters.get('model.norm.weight')!;
    broken.parameters.set('model.norm.weight', tf.keep(tf.fill(norm.shape, Number.NaN)));
    norm.dispose();
    const generator = createGenerator(broken, { slots: 2, capacity, implementation });
    expect((await failure(generator.run(requests(5, 41), sampled, ignore))).code).toBe('numeric');
    await generator.dispose();
    broken.dispose();
  });

  it.each(['cpu', 'tensor'] as const)('computes with the weights its linears compute with (%s)', async (implementation) => {
    const coarse = (weight: tf.Tensor2D) => tf.mul(tf.round(tf.mul(weight, 4)), 0.25) as tf.Tensor2D;
    const quantized = tinyModel('qwen3, grouped queries');
    const module = 'model.layers.1.mlp.up_proj';
    quantized.setLinear(module, new FakeQuantizedLinear(quantized.parameters, module, coarse));
    const generate = async (of: LanguageModel) => {
      const generator = createGenerator(of, { slots: 2, capacity, implementation });
      const [result] = [...(await collect(generator, requests(1, 41), greedy)).values()];
      await generator.dispose();
      return result!;
    };
    const [prompt] = requests(1, 41);
    const { tokenIds, logprobs } = await generate(quantized);
    const expected = await fullForward(quantized, prompt!.promptIds, tokenIds, 1);
    expect(Math.max(...expected.map((value, step) => Math.abs(value - logprobs![step]!)))).toBeLessThan(1e-4);
    expect((await generate(model)).logprobs).not.toEqual(logprobs);
    quantized.dispose();
  });

  it('leaves models whose sizes its kernels do not cover to the tensor engine', async () => {
    const odd = tinyModel('qwen3, grouped queries');
    Object.assign(odd.config, { intermediateSize: 46 });
    expect(() => createGenerator(odd, { slots: 1, capacity, implementation: 'cpu' })).toThrow(/intermediate_size is 46/);
    const generator = createGenerator(odd, { slots: 1, capacity });
    expect(generator.implementation).toBe('tensor');
    expect(generator.reason).toMatch(/intermediate_size is 46, not a multiple of 4/);
    Object.assign(odd.config, { intermediateSize: 48 });
    odd.dispose();
  });

  it('leaves models whose float32 weights exceed their budget to the tensor engine, and says so', async () => {
    // Per layer: q 64, k and v 32, o 32 of 64, gate and up 48 outputs of 32 inputs, down 32 of 48; then the head.
    const floats = 2 * (64 * 32 + 2 * 32 * 32 + 32 * 64 + 2 * 48 * 32 + 32 * 48) + 41 * 32;
    expect(expandedWeightBytes(model.config)).toBe(4 * floats);
    const fitting = createGenerator(model, { slots: 2, capacity, weightBudgetBytes: 4 * floats });
    expect([fitting.implementation, fitting.reason]).toEqual(['cpu', null]);
    const large = createGenerator(model, { slots: 2, capacity, weightBudgetBytes: 4 * floats - 1 });
    expect(large.implementation).toBe('tensor');
    expect(large.reason).toMatch(/^The CPU decode engine does not generate with this model: its weights take .* GiB as float32, more than/);
    const results = await collect(large, requests(5, 41), greedy);
    const expected = await collect(fitting, requests(5, 41), greedy);
    for (const [key, { tokenIds }] of expected) expect(results.get(key)!.tokenIds).toEqual(tokenIds);
    const forced = createGenerator(model, { slots: 2, capacity, weightBudgetBytes: 1, implementation: 'cpu' });
    expect(forced.implementation).toBe('cpu');
    await Promise.all([fitting, large, forced].map((generator) => generator.dispose()));
  });

  it('may hold a quarter of the memory unless told', () => {
    expect(defaultWeightBudget()).toBeLessThanOrEqual(totalmem() / 4);
    expect(defaultWeightBudget()).toBeGreaterThan(0);
    const qwen8b = { hiddenSize: 4096, intermediateSize: 12288, layers: 36, heads: 32, kvHeads: 8, headDim: 128, vocabSize: 151936 };
    expect(overBudgetReason({ ...model.config, ...qwen8b }, 8 * 2 ** 30)).toBe(
      'its weights take 28.2 GiB as float32, more than the 8 GiB allowed for them',
    );
    expect(overBudgetReason({ ...model.config, ...qwen8b }, 32 * 2 ** 30)).toBe(null);
  });
});
