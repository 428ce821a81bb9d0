/** The sampler of the GPU decode engine against the processor's: over one chunk of the vocabulary, and over many. */
import { RandomStream } from '../../data/random-stream.ts';
import { Sampler } from '../../rollouts/sampler.ts';
import type { SamplingSettings } from '../../rollouts/settings.ts';
import { deviation, type GpuCheck, normals } from '../check.ts';
import { drawTokens } from '../draw-tokens.ts';

const base: SamplingSettings = { temperature: 0.8, topP: 1, topK: 0, maxNewTokens: 1, stopTokenIds: [], logprobs: true };
const limits: Record<string, SamplingSettings> = {
  greedy: { ...base, temperature: 0 },
  'all tokens': base,
  'top-p': { ...base, topP: 0.95 },
  'top-k': { ...base, topK: 50 },
  'top-k, then top-p': { ...base, topK: 20, topP: 0.9 },
};

export const samplingChecks: readonly GpuCheck[] = Object.entries(limits).flatMap(([name, settings]) => [
  samplingCheck(`decode sampler ${name}, 4×500`, settings, 4, 500),
  samplingCheck(`decode sampler ${name}, 2×151936`, settings, 2, 151_936),
]);

/** A token that differs counts as an error of its distance in ids. */
function samplingCheck(name: string, settings: SamplingSettings, rows: number, vocabSize: number): GpuCheck {
  return {
    name,
    run: async () => {
      const logits = normals(rows * vocabSize, 51).map((value) => 2 * value);
      const stream = new RandomStream(52, name);
      const uniforms = Float32Array.from({ length: rows }, () => stream.uniform());
      const sampler = new Sampler(vocabSize, settings);
      const expected = Array.from(uniforms, (uniform, row) => [sampler.sample(logits, row * vocabSize, uniform), sampler.logprob]);
      const drawn = await drawTokens(logits, settings, uniforms);
      const actual = drawn.map(({ token, logprob }) => [token, logprob]);
      const column = (pairs: number[][], index: number) => pairs.map((pair) => pair[index]!);
      const maxError = Math.max(...[0, 1].map((index) => deviation(column(actual, index), column(expected, index))));
      return { maxError, tolerance: 2e-6 };
    },
  };
}
