/** The GPU decode engine: the reference's tokens, the same ones whatever is generated beside them, and everything a run can be told. */
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { gpu } from '../../../../src-main/engine/backends/webgpu/device.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import { nf4BlockCount } from '../../../../src-main/engine/formats/nf4.ts';
import { roundScales } from '../../../../src-main/engine/formats/packed-linear.ts';
import { dequantizeStored, type StoredLinear } from '../../../../src-main/engine/formats/stored-linear.ts';
import { createRandomModel } from '../../../../src-main/engine/model/init.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { PackedLinearOp } from '../../../../src-main/engine/model/linear-op.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { decoderLinears, linearShape } from '../../../../src-main/engine/model/parameters.ts';
import { createGenerator, DropList, type GenerationResult, type SamplingSettings } from '../../../../src-main/engine/rollouts/generator.ts';
import { GpuGenerator } from '../../../../src-main/engine/rollouts/gpu/gpu-generator.ts';
import type { GeneratorOptions } from '../../../../src-main/engine/rollouts/settings.ts';
import { goldenModel, goldenNames } from '../../../golden/fixtures.ts';
import { testBackends } from '../ops/op-check.ts';
import { collect, requests, tinyConfigs } from './tiny-models.ts';

const sampled: SamplingSettings = { temperature: 0.9, topP: 0.95, topK: 0, maxNewTokens: 16, stopTokenIds: [7], logprobs: true };
const capacity = 64;
const list = requests(13, 41);
const few = list.slice(0, 3);

async function generate(model: LanguageModel, options: Partial<GeneratorOptions>, settings = sampled, asked = list) {
  const generator = createGenerator(model, { slots: 9, capacity, ...options });
  expect(generator.implementation).toBe('gpu');
  try {
    return await collect(generator, asked, settings);
  } finally {
    await generator.dispose();
  }
}

const tokensOf = (results: Map<string, GenerationResult>) =>
  [...results].map(([key, { tokenIds, finishReason }]) => [key, finishReason, tokenIds]);

describe.skipIf(!testBackends.includes('webgpu'))('the GPU decode engine', () => {
  let model: LanguageModel;
  let all: Map<string, GenerationResult>;
  beforeAll(async () => {
    await selectBackend('webgpu');
    model = createRandomModel(tinyConfigs['qwen3, grouped queries'], 1, { deviation: 0.25 });
    all = await generate(model, {});
  });
  afterAll(() => model.dispose());

  it.each(goldenNames)('continues as transformers does: %s', async (name) => {
    const golden = goldenModel(name);
    const loaded = await loadModel(golden.dir);
    const asked = golden.prompts.map((promptIds, index) => ({ key: String(index), promptIds, seed: 0, stream: '' }));
    for (const slots of [3, 9]) {
      const settings = { ...sampled, temperature: 0, maxNewTokens: 40, stopTokenIds: [] };
      const results = await generate(loaded, { slots }, settings, asked);
      expect([...results.values()].map(({ tokenIds }) => tokenIds)).toEqual(golden.greedy);
    }
    loaded.dispose();
  });

  it('samples the tokens and log-probabilities of tensor operations', async () => {
    const settings = { ...sampled, topK: 12, maxNewTokens: 6 };
    const asked = list.slice(0, 4);
    const tensor = createGenerator(model, { slots: 4, capacity: 32, implementation: 'tensor' });
    const expected = await collect(tensor, asked, settings);
    const results = await generate(model, { slots: 4, capacity: 32 }, settings, asked);
    expect(tokensOf(results)).toEqual(tokensOf(expected));
    for (const [key, { logprobs }] of results) {
      expect(logprobs).toEqual(expected.get(key)!.logprobs!.map((value) => expect.closeTo(value, 4)));
    }
  });

  it('ends by end token, stop token and length', () => {
    expect(all.size).toBe(list.length);
    for (const { tokenIds, finishReason } of all.values()) {
      const stops = tokenIds.filter((id) => id === 3 || id === 7);
      expect(finishReason === 'stop' ? stops : [stops.length, tokenIds.length]).toEqual(
        finishReason === 'stop' ? [tokenIds.at(-1)] : [0, 16],
      );
    }
    expect(new Set([...all.values()].map(({ finishReason }) => finishReason))).toEqual(new Set(['stop', 'length']));
  });

  it('does not depend on slots, company or steps per submit, bit for bit', async () => {
    for (const options of [{ slots: 13, stepsPerSubmit: 3 }, { stepsPerSubmit: 1 }]) expect(await generate(model, options)).toEqual(all);
    const some = await generate(
      model,
      {},
      sampled,
      [...list].reverse().filter((_, index) => index % 3 !== 1),
    );
    expect(some.size).toBe(9);
    for (const [key, result] of some) expect(result).toEqual(all.get(key));
    const narrow = await generate(model, { slots: 2 });
    expect(await generate(model, { slots: 5, stepsPerSubmit: 3 })).toEqual(narrow);
    expect(tokensOf(narrow)).toEqual(tokensOf(all));
  });

  it('shares prompts and their beginnings without changing a bit', async () => {
    const start = Array.from({ length: 20 }, (_, index) => 4 + ((7 * index) % 30));
    const alone = Array.from({ length: 12 }, (_, index) => ({
      key: `problem-${String(index).padStart(2, '0')}`,
      promptIds: index < 6 ? start : [...start.slice(0, 12 + (index % 5)), 5 + index, 9],
      seed: 3,
      stream: `sample-${index}`,
    }));
    const separate = new Map<string, GenerationResult>();
    const generator = createGenerator(model, { slots: 9, capacity });
    for (const request of alone) for (const [key, result] of await collect(generator, [request], sampled)) separate.set(key, result);
    await generator.dispose();
    expect(await generate(model, { slots: 10 }, sampled, alone)).toEqual(separate);
  });

  it('gives up what is dropped, and changes nothing for the rest', async () => {
    const generator = createGenerator(model, { slots: 9, capacity, stepsPerSubmit: 2 });
    const dropList = new DropList(list.length);
    dropList.drop(12);
    const kept = new Map<string, GenerationResult>();
    const onResult = (result: GenerationResult) => {
      kept.set(result.key, result);
      if (kept.size === 1) for (let index = 8; index < 12; index++) dropList.drop(index);
    };
    await generator.run(list, sampled, { dropList, onResult });
    await generator.dispose();
    expect(kept.size).toBeLessThan(13);
    expect(kept.has(list[12]!.key)).toBe(false);
    for (const { key } of list.slice(0, 8)) expect(kept.has(key)).toBe(true);
    for (const [key, result] of kept) expect(result).toEqual(all.get(key));
  });

  it('stops when cancelled, reports progress, and runs again', async () => {
    const generator = createGenerator(model, { slots: 9, capacity });
    const controller = new AbortController();
    const progress: number[] = [];
    const run = generator.run(list, sampled, {
      signal: controller.signal,
      onResult: () => controller.abort(),
      onProgress: ({ generatedTokens }) => progress.push(generatedTokens),
    });
    await expect(run).rejects.toMatchObject({ code: 'cancelled' });
    expect(progress.length).toBeGreaterThan(0);
    expect(await collect(generator, list, sampled)).toEqual(all);
    await generator.dispose();
  });

  it('takes new weights of the same shape into the buffers it has', async () => {
    const other = createRandomModel(tinyConfigs['qwen3, grouped queries'], 2, { deviation: 0.25 });
    const expected = await generate(other, {});
    const tensors = tf.memory().numTensors;
    const generator = createGenerator(model, { slots: 9, capacity });
    expect(generator.update(other)).toBe(true);
    expect(await collect(generator, list, sampled)).toEqual(expected);
    const different = createRandomModel(tinyConfigs['qwen2, odd group, attention bias'], 2);
    expect(generator.update(different)).toBe(false);
    different.dispose();
    await generator.dispose();
    expect(tf.memory().numTensors).toBe(tensors);
    other.dispose();
  });

  it('attends to caches longer than one segment', async () => {
    const long = createRandomModel({ ...tinyConfigs['qwen2, odd group, attention bias'], contextLength: 1024 }, 5, { deviation: 0.2 });
    const asked = requests(3, 41, 30).map((request, index) => ({
      ...request,
      promptIds: Array.from({ length: 250 + 200 * index }, (_, i) => 4 + ((i * i + index) % 37)),
    }));
    const settings = { ...sampled, temperature: 0, maxNewTokens: 12, stopTokenIds: [] };
    const results = await generate(long, { slots: 3, capacity: 700 }, settings, asked);
    for (const { key, promptIds } of asked) {
      const { tokenIds, logprobs } = results.get(key)!;
      const table = tf.tidy(() => {
        const ids = tf.tensor2d([[...promptIds, ...tokenIds]], undefined, 'int32');
        return tf.logSoftmax(tf.squeeze(long.logits(long.forward(ids)), [0]));
      });
      const values = await table.data();
      table.dispose();
      const expected = tokenIds.map((id, index) => values[(promptIds.length + index - 1) * 41 + id]!);
      expect(logprobs).toEqual(expected.map((value) => expect.closeTo(value, 3)));
    }
    long.dispose();
  });

  it('fails on logits that are not numbers, and goes on after', async () => {
    const broken = createRandomModel(tinyConfigs['qwen3, grouped queries'], 1, { deviation: 0.25 });
    broken.setParameter('model.norm.weight', new Float32Array(32).fill(Number.NaN), [32]);
    const generator = createGenerator(broken, { slots: 9, capacity });
    await expect(collect(generator, list, sampled)).rejects.toMatchObject({ code: 'numeric' });
    expect(generator.update(model)).toBe(true);
    expect(await collect(generator, list, sampled)).toEqual(all);
    await generator.dispose();
    broken.dispose();
  });

  it('holds half-precision weights as halves, and whole ones once training has changed them', async () => {
    const halves = createRandomModel(tinyConfigs['qwen3, grouped queries'], 6, { deviation: 0.25 });
    for (const [name, tensor] of [...halves.parameters]) {
      const bits = new Uint32Array((await tensor.data<'float32'>()).slice().buffer).map((word) => word & 0xffff0000);
      halves.setParameter(name, new Float32Array(bits.buffer), tensor.shape);
    }
    const whole = new GpuGenerator(halves, { slots: 9, capacity, weightPrecision: 'float32' });
    const expected = await collect(whole, few, sampled);
    const generator = new GpuGenerator(halves, { slots: 9, capacity });
    expect(await collect(generator, few, sampled)).toEqual(expected);
    expect(generator.sizeBytes).toBeLessThan(whole.sizeBytes);
    generator.update(model);
    for (const [key, result] of await collect(generator, few, sampled)) expect(result).toEqual(all.get(key));
    expect(generator.sizeBytes).toBe(whole.sizeBytes);
    const rounded = new GpuGenerator(model, { slots: 9, capacity, weightPrecision: 'half' });
    expect((await collect(rounded, few, sampled)).size).toBe(few.length);
    expect(rounded.sizeBytes).toBeLessThan(whole.sizeBytes);
    for (const each of [whole, generator, rounded]) await each.dispose();
    halves.dispose();
  });

  it.each([
    ['W4G8 and NF4', [4, 4, null]],
    ['W3, W8 and W2', [3, 8, 2]],
  ] as const)('computes with packed weights as they are: %s', async (name, widths) => {
    const config = { ...tinyConfigs['qwen3, grouped queries'], hiddenSize: 64, intermediateSize: 64 };
    const [packed, dequantized] = [1, 1].map((seed) => createRandomModel(config, seed, { deviation: 0.25 })) as [
      LanguageModel,
      LanguageModel,
    ];
    for (const [place, module] of decoderLinears(config).entries()) {
      const stored = storedLinear(module, linearShape(config, module), widths[[0, 0, 0, 1, 2, 2, 1][place % 7]!]!, place % 7 === 3);
      packed.setLinear(module, new PackedLinearOp(packed.parameters, module, stored));
      dequantized.setParameter(`${module}.weight`, dequantizeStored(stored), [stored.outFeatures, stored.inFeatures]);
    }
    for (const slots of name.startsWith('W3') ? [9] : [1]) {
      const reference = new GpuGenerator(dequantized, { slots, capacity, weightPrecision: 'float32' });
      const generator = new GpuGenerator(packed, { slots, capacity });
      const results = await collect(generator, few, sampled);
      const expected = await collect(reference, few, sampled);
      if (slots === 9) expect(results).toEqual(expected);
      // With few slots a block's scale is applied to the sum over it.
      expect(tokensOf(results)).toEqual(tokensOf(expected));
      for (const [key, { logprobs }] of results) {
        expect(logprobs).toEqual(expected.get(key)!.logprobs!.map((value) => expect.closeTo(value, 4)));
      }
      expect(generator.sizeBytes).toBeLessThan(reference.sizeBytes);
      for (const each of [reference, generator]) await each.dispose();
    }
    for (const each of [packed, dequantized]) each.dispose();
  });

  it('refuses what does not fit before it takes memory, with the sizes', async () => {
    const held = gpu().memory.heldBytes;
    const generator = createGenerator(model, { slots: 100_000, capacity: 4096 });
    await expect(collect(generator, list, sampled)).rejects.toThrow(/take [\d.e+]+ MiB; the GPU .* (reads at most|makes no buffer above)/);
    expect(gpu().memory.heldBytes).toBe(held);
  });
});

/** Random codes; asymmetric in widths below 4, NF4 for null, groups out of order where `isGrouped`. */
function storedLinear(
  module: string,
  [outFeatures, inFeatures]: [number, number],
  bits: 2 | 3 | 4 | 8 | null,
  isGrouped: boolean,
): StoredLinear {
  const stream = new RandomStream(7, module);
  const codes = Uint8Array.from({ length: outFeatures * inFeatures }, () => stream.integer(0, 2 ** (bits ?? 4) - 1));
  if (bits === null) {
    const absmax = Float32Array.from({ length: nf4BlockCount(outFeatures, inFeatures) }, () => 0.2 + 0.3 * stream.uniform());
    return { coding: 'nf4', bits: 4, outFeatures, inFeatures, codes, absmax, nested: null };
  }
  const groups = inFeatures / 8;
  const symmetric = bits >= 4;
  const scales = roundScales(Float32Array.from({ length: outFeatures * groups }, () => (0.3 + stream.uniform()) / 2 ** bits));
  const zeros = Uint8Array.from(scales, () => (symmetric ? 2 ** (bits - 1) : stream.integer(0, 2 ** bits - 1)));
  const groupIndex = isGrouped ? Int32Array.from({ length: inFeatures }, (_, index) => (5 * index) % groups) : null;
  return { bits, symmetric, outFeatures, inFeatures, groupSize: 8, codes, scales, zeros, groupIndex };
}
