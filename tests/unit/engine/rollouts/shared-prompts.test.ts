/** Groups of completions of one prompt, and generators that take new weights: nothing may differ from what each would give alone. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { plainActivations } from '../../../../src-main/engine/model/layer-activations.ts';
import { Batch, claimable } from '../../../../src-main/engine/rollouts/batch.ts';
import { createGenerator, type GenerationRequest, type SamplingSettings } from '../../../../src-main/engine/rollouts/generator.ts';
import { collect, requests, tinyModel, tinyNames } from './tiny-models.ts';

const settings: SamplingSettings = { temperature: 1.1, topP: 1, topK: 0, maxNewTokens: 9, stopTokenIds: [7], logprobs: true };
const capacity = 48;

/** `groupSize` requests for each of some prompts, one after the other. */
function groups(prompts: number, groupSize: number): GenerationRequest[] {
  return requests(prompts, 41, 30).flatMap((request, index) =>
    Array.from({ length: groupSize }, (_, sample) => ({ ...request, key: `${index}/${sample}`, stream: `${index}/${sample}` })),
  );
}

async function generate(
  model: LanguageModel,
  list: GenerationRequest[],
  options: { implementation?: 'cpu' | 'tensor'; slots: number; threads?: number },
) {
  const generator = createGenerator(model, { capacity, ...options });
  try {
    return await collect(generator, list, settings);
  } finally {
    await generator.dispose();
  }
}

describe.each(tinyNames)('groups of completions, %s', (name) => {
  let model: LanguageModel;
  beforeAll(async () => {
    await selectBackend('wasm');
    model = tinyModel(name);
  });
  afterAll(() => model.dispose());

  it('have the same tokens and log-probabilities as with a prompt computed for each alone, bit for bit', async () => {
    const list = groups(5, 6);
    const alone = new Map((await Promise.all(list.map((request) => generate(model, [request], { slots: 1 })))).flatMap((one) => [...one]));
    expect(alone.size).toBe(30);
    for (const options of [{ slots: 12, threads: 1 }, { slots: 16, threads: 2 }, { slots: 3 }] as const) {
      const together = await generate(model, list, { implementation: 'cpu', ...options });
      for (const [key, result] of together) expect(result, `${key} in ${options.slots} slots`).toEqual(alone.get(key));
    }
  });

  it('are the same on tensors, bit for bit', async () => {
    const list = groups(3, 4);
    const slots = 6;
    const shared = await generate(model, list, { implementation: 'tensor', slots });
    const shuffled = [0, 1, 2, 3].flatMap((sample) => [0, 1, 2].map((prompt) => list[prompt * 4 + sample]!));
    expect(await generate(model, shuffled, { implementation: 'tensor', slots })).toEqual(shared);
    const single = await Promise.all(list.map((request) => generate(model, [request], { implementation: 'tensor', slots })));
    expect(new Map(single.flatMap((one) => [...one]))).toEqual(shared);
  });
});

describe.each(['cpu', 'tensor'] as const)('generators that take new weights, %s', (implementation) => {
  it('then give what a new generator gives', async () => {
    await selectBackend('wasm');
    const [first, second] = [tinyModel(tinyNames[0]!, 1), tinyModel(tinyNames[0]!, 2)];
    const [list, slots] = [groups(2, 2), 4];
    const generator = createGenerator(first, { slots, capacity, implementation });
    const before = await collect(generator, list, settings);
    expect(generator.update(second)).toBe(true);
    const after = await collect(generator, list, settings);
    expect(after).not.toEqual(before);
    expect(after).toEqual(await generate(second, list, { slots, implementation }));
    expect(generator.update(first)).toBe(true);
    expect(await collect(generator, list, settings)).toEqual(before);
    await generator.dispose();
    first.dispose();
    second.dispose();
  });
});

describe('update', () => {
  it('leaves a generator as it is where the model differs in more than values', async () => {
    await selectBackend('wasm');
    const [model, other, quantized] = [tinyModel(tinyNames[0]!), tinyModel(tinyNames[1]!), tinyModel(tinyNames[0]!, 2)];
    const activations = plainActivations();
    activations.mlpInput.quantizer = { bits: 4, symmetric: false, clipHigh: 1, clipLow: 1, outlierThreshold: null };
    quantized.setActivations(0, activations);
    const generator = createGenerator(model, { slots: 4, capacity });
    const before = await collect(generator, groups(1, 2), settings);
    expect(generator.update(other)).toBe(false);
    expect(generator.update(quantized)).toBe(false);
    expect(await collect(generator, groups(1, 2), settings)).toEqual(before);
    await generator.dispose();
    for (const held of [model, other, quantized]) held.dispose();
  });
});

describe('claimable', () => {
  it('takes requests together as long as they share their prompt and there is room', () => {
    const list = [[1, 2], [1, 2], [1, 2], [1], [1]].map((promptIds) => ({ promptIds, seed: 1, stream: '' }));
    expect([0, 1, 2, 3, 4, 5].map((first) => claimable(list, first, 2))).toEqual([2, 2, 1, 2, 1, 0]);
    expect(claimable(list, 0, 9)).toBe(3);
    expect(new Batch({ slots: [0], vocabSize: 2, maxRows: 1 }, settings, [], () => []).plan()).toEqual([]);
  });
});
