/** The sampler of the GPU decode engine against the processor's: within one chunk of the vocabulary, over a few, and over that of a real model. */
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import { drawTokens } from '../../../../src-main/engine/gpu-check/draw-tokens.ts';
import { samplerPasses } from '../../../../src-main/engine/rollouts/gpu/kernels/sample.ts';
import { notFinite } from '../../../../src-main/engine/rollouts/gpu/kernels/sample-choice.ts';
import { Sampler } from '../../../../src-main/engine/rollouts/sampler.ts';
import type { SamplingSettings } from '../../../../src-main/engine/rollouts/settings.ts';
import { normals, testBackends } from '../ops/op-check.ts';

const base: SamplingSettings = { temperature: 1, topP: 1, topK: 0, maxNewTokens: 9, stopTokenIds: [], logprobs: true };
const settings: Record<string, SamplingSettings> = {
  greedy: { ...base, temperature: 0 },
  'all tokens': { ...base, temperature: 0.7 },
  'top-p': { ...base, temperature: 0.8, topP: 0.9 },
  'top-p of almost all': { ...base, temperature: 1.5, topP: 0.9999 },
  'top-k': { ...base, topK: 20 },
  'top-k, then top-p': { ...base, temperature: 0.6, topK: 20, topP: 0.95 },
  'top-k of one': { ...base, topK: 1 },
  'a large top-k, then top-p': { ...base, topK: 600, topP: 0.5 },
  'more of top-k than there are': { ...base, topK: 5000, topP: 0.5 },
  'a low temperature': { ...base, temperature: 0.02, topK: 400, topP: 0.9999 },
};

const floats = (count: number, seed: number) => Float32Array.from(normals(count, seed));

function uniformsOf(count: number, name: string): Float32Array {
  const stream = new RandomStream(3, name);
  return Float32Array.from({ length: count }, () => stream.uniform());
}

describe.skipIf(!testBackends.includes('webgpu'))('the sampler of the GPU decode engine', () => {
  beforeAll(async () => {
    await selectBackend('webgpu');
  });

  /** Draws on both from every row of logits. */
  async function compare(logits: Float32Array, setting: SamplingSettings, uniforms: Float32Array): Promise<void> {
    const vocabSize = logits.length / uniforms.length;
    const sampler = new Sampler(vocabSize, setting);
    const expected = Array.from(uniforms, (uniform, row) => {
      const token = sampler.sample(logits, row * vocabSize, uniform);
      return { token, logprob: expect.closeTo(sampler.logprob, 4), state: [token, 4, setting.stopTokenIds.includes(token) ? 0 : 4] };
    });
    expect(await drawTokens(logits, setting, uniforms)).toEqual(expected);
  }

  it('takes as few dispatches as it can', () => {
    const passes = (vocabSize: number, name: string) => samplerPasses({ vocabSize, slots: 1 }, settings[name]!, []).length;
    const names = ['greedy', 'all tokens', 'top-p', 'top-k, then top-p'];
    expect(names.map((name) => passes(64, name))).toEqual([1, 1, 1, 1]);
    expect(names.map((name) => passes(151_936, name))).toEqual([2, 2, 4, 4]);
  });

  const all = Object.keys(settings);
  const some = ['greedy', 'top-k, then top-p'];
  describe.each([
    ['of one chunk', 24, 700, all],
    ['of one chunk and no multiple of four', 24, 701, some],
    ['of three chunks', 24, 5000, all],
    ['of three chunks and no multiple of four', 12, 5003, some],
    ['of a real model', 2, 151_936, all],
  ] as const)('over a vocabulary %s', (_, rows, vocabSize, names) => {
    it.each(names)('draws what the processor draws: %s', async (name) => {
      const logits = floats(rows * vocabSize, 8).map((value, i) => Math.fround((i % 7 === 0 ? 4 : 2) * value));
      // Equal logits, so that ranks by id matter.
      const apart = Math.floor(vocabSize / 43);
      for (let row = 0; row < rows; row++) {
        for (let i = 0; i < 40; i++) logits[row * vocabSize + i * (apart + 1)] = Math.fround(row / 4);
      }
      await compare(logits, settings[name]!, uniformsOf(rows, name));
    });
  });

  it('ranks ties of a large vocabulary by id', async () => {
    const vocabSize = 151_936;
    const uniforms = Float32Array.of(0.10003, 0.50003, 0.99993);
    const logits = new Float32Array(uniforms.length * vocabSize);
    for (const limit of [{ topK: 70_000 }, { topP: 0.4 }, { topK: 100_000, topP: 0.25 }, {}]) {
      await compare(logits, { ...base, ...limit }, uniforms);
    }
    // Three above a plateau, of which top-k or top-p keep a part that ends within a chunk.
    for (let row = 0; row < uniforms.length; row++) for (const token of [9, 70_001, 151_935]) logits[row * vocabSize + token] = 1;
    await compare(logits, { ...base, topK: 65_432 }, uniforms);
    // Masses of 2⁻³¹ tell apart where top-p ends within some 10⁻⁵ of so flat a distribution.
    const sampler = new Sampler(vocabSize, { ...base, topP: 0.5001 });
    for (const [row, { token }] of (await drawTokens(logits, { ...base, topP: 0.5001 }, uniforms)).entries()) {
      expect(Math.abs(token - sampler.sample(logits, row * vocabSize, uniforms[row]!))).toBeLessThan(5);
    }
  });

  it('draws from a flat distribution without ties', async () => {
    const vocabSize = 150_000;
    const uniforms = uniformsOf(3, 'flat');
    const logits = floats(uniforms.length * vocabSize, 10).map((value) => Math.fround(value / 100));
    await compare(logits, { ...base, topP: 0.6 }, uniforms);
    await compare(logits, { ...base, topK: 90_000, topP: 0.9 }, uniforms);
  });

  it('draws in proportion', async () => {
    const count = 4000;
    const logits = new Float32Array(count * 8).map((_, i) => Math.log([1, 2, 3, 4, 0.5, 6, 0.25, 8][i % 8]!));
    const drawn = await drawTokens(logits, { ...base, topP: 0.9 }, uniformsOf(count, 'proportion'));
    const share = (token: number) => drawn.filter((row) => row.token === token).length / count;
    // 8, 6, 4, 3, 2 hold 0.93 of the 24.75; the others are cut off.
    expect([share(0), share(4), share(6)]).toEqual([0, 0, 0]);
    for (const [token, weight] of [
      [7, 8],
      [5, 6],
      [3, 4],
      [2, 3],
      [1, 2],
    ] as const)
      expect(share(token)).toBeCloseTo(weight / 23, 1);
  });

  it('ends a sequence at an end token', async () => {
    const logits = floats(4 * 300, 11);
    const best = [0, 1, 2, 3].map((row) =>
      logits.subarray(300 * row, 300 * row + 300).indexOf(Math.max(...logits.subarray(300 * row, 300 * row + 300))),
    );
    await compare(logits, { ...base, temperature: 0, stopTokenIds: [299, best[1]!, 298, 297, best[3]!] }, new Float32Array(4));
  });

  it.each([700, 5000, 151_936])('reports logits that are not finite numbers among %i', async (vocabSize) => {
    for (const setting of [settings.greedy!, settings['top-p']!]) {
      for (const value of [Number.NaN, Infinity]) {
        const logits = floats(2 * vocabSize, 9);
        logits[2 * vocabSize - 100] = value;
        const [good, bad] = await drawTokens(logits, setting, Float32Array.of(0.5, 0.5));
        expect(good!.token).toBeLessThan(vocabSize);
        expect(bad!).toMatchObject({ token: notFinite, state: [expect.anything(), 4, 0] });
      }
      const nothing = new Float32Array(vocabSize).fill(-Infinity);
      expect((await drawTokens(nothing, setting, Float32Array.of(0.5)))[0]!.token).toBe(notFinite);
    }
  });

  it('never draws what is masked by −∞', async () => {
    const vocabSize = 9000;
    const logits = floats(3 * vocabSize, 12).map((value, i) => (i % vocabSize > 4000 && i % vocabSize < 8900 ? -Infinity : value));
    for (const name of ['greedy', 'all tokens', 'top-p of almost all', 'more of top-k than there are']) {
      await compare(logits, settings[name]!, uniformsOf(3, name));
    }
  });

  it.each([700, 5000])('leaves slots alone that have ended, and does not depend on them, among %i', async (vocabSize) => {
    const logits = floats(3 * vocabSize, 13);
    for (const name of ['greedy', 'top-p', 'top-k, then top-p']) {
      const uniforms = uniformsOf(3, name);
      const drawn = await drawTokens(logits, settings[name]!, uniforms);
      expect(drawn).toEqual(await drawTokens(logits, settings[name]!, uniforms));
      const others = await drawTokens(logits, settings[name]!, uniforms, { idle: [1] });
      expect(others).toEqual([drawn[0], { token: 0, logprob: 0, state: [0, 3, 5] }, drawn[2]]);
    }
  });
});
