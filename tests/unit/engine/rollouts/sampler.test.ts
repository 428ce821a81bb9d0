import { describe, expect, it } from 'vitest';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import type { SamplingSettings } from '../../../../src-main/engine/rollouts/generator.ts';
import { Sampler } from '../../../../src-main/engine/rollouts/sampler.ts';

const settings = (changes: Partial<SamplingSettings>): SamplingSettings => ({
  temperature: 1,
  topP: 1,
  topK: 0,
  maxNewTokens: 1,
  stopTokenIds: [],
  ...changes,
});

/** The distribution sampling should follow, by sorting, in double precision. */
function reference(logits: Float32Array, { temperature, topK, topP }: SamplingSettings): number[] {
  const largest = Math.max(...logits);
  const ranked = [...logits].map((logit, token) => ({ token, weight: Math.exp((logit - largest) / temperature) }));
  ranked.sort((a, b) => b.weight - a.weight || a.token - b.token);
  const top = topK > 0 ? ranked.slice(0, topK) : ranked;
  const mass = top.reduce((sum, { weight }) => sum + weight, 0);
  let before = 0;
  const kept = top.filter(({ weight }) => {
    const keep = before < topP * mass;
    before += weight;
    return keep;
  });
  const total = kept.reduce((sum, { weight }) => sum + weight, 0);
  const probabilities = new Array<number>(logits.length).fill(0);
  for (const { token, weight } of kept) probabilities[token] = weight / total;
  return probabilities;
}

describe('Sampler', () => {
  const logits = new RandomStream(3, 'logits').normals(24, 0.8);

  it.each([
    { temperature: 1 },
    { temperature: 0.6, topP: 0.95 },
    { temperature: 1.3, topP: 0.5 },
    { temperature: 1, topK: 5 },
    { temperature: 0.8, topK: 12, topP: 0.7 },
  ])('draws as the reference distribution says: %j', (changes) => {
    const wanted = settings(changes);
    const sampler = new Sampler(logits.length, wanted);
    const expected = reference(logits, wanted);
    const stream = new RandomStream(5, JSON.stringify(changes));
    const draws = 20_000;
    const counts = new Array<number>(logits.length).fill(0);
    for (let n = 0; n < draws; n++) counts[sampler.sample(logits, 0, stream.uniform())]!++;
    let chiSquare = 0;
    let freedom = -1;
    expected.forEach((probability, token) => {
      if (probability === 0) expect(counts[token]).toBe(0);
      else {
        chiSquare += (counts[token]! - draws * probability) ** 2 / (draws * probability);
        freedom++;
      }
    });
    expect(freedom).toBeGreaterThan(2);
    expect(chiSquare).toBeLessThan(freedom + 4 * Math.sqrt(2 * freedom) + 6);
  });

  it('finds the nucleus of a large, flat vocabulary', () => {
    const flat = new RandomStream(6, 'flat').normals(5000, 0.05);
    const wanted = settings({ topP: 0.9 });
    const kept = reference(flat, wanted);
    const sampler = new Sampler(flat.length, wanted);
    const reached = new Set(Array.from({ length: 2000 }, (_, n) => sampler.sample(flat, 0, n / 2000)));
    expect(reached.size).toBeGreaterThan(1500);
    for (const token of reached) expect(kept[token]).toBeGreaterThan(0);
    const ids = [...kept.keys()].filter((token) => kept[token]! > 0);
    expect(sampler.sample(flat, 0, 0)).toBe(ids[0]);
    expect(sampler.sample(flat, 0, 1 - 2 ** -40)).toBe(ids.at(-1));
  });

  it('keeps the token that crosses top-p, and no further one', () => {
    // Probabilities 1/2, 1/4, 1/8, 1/8, exactly.
    const halves = Float32Array.from([0, -1, -2, -2], (power) => power * Math.LN2);
    const reachable = (topP: number) => {
      const sampler = new Sampler(4, settings({ topP }));
      return new Set(Array.from({ length: 400 }, (_, n) => sampler.sample(halves, 0, n / 400)));
    };
    expect(reachable(0.4)).toEqual(new Set([0]));
    expect(reachable(0.6)).toEqual(new Set([0, 1]));
    expect(reachable(0.8)).toEqual(new Set([0, 1, 2]));
    expect(reachable(0.9)).toEqual(new Set([0, 1, 2, 3]));
  });

  it('ranks equal logits by token id', () => {
    const equal = new Float32Array(6).fill(2);
    expect(new Sampler(6, settings({ temperature: 0 })).sample(equal, 0, 0.9)).toBe(0);
    const sampler = new Sampler(6, settings({ topK: 2 }));
    expect([0, 0.49, 0.51, 0.99].map((uniform) => sampler.sample(equal, 0, uniform))).toEqual([0, 0, 1, 1]);
  });

  it('takes the most probable token without sampling only where no other could be drawn', () => {
    const sampler = new Sampler(3, settings({ topP: 0.9 }));
    expect([0.89, 0.905, 0.92, 1, Number.NaN].map((share) => sampler.obvious(2, share))).toEqual([null, null, 2, 2, null]);
    expect(new Sampler(3, settings({ topP: 1 })).obvious(2, 1)).toBe(null);
    expect(new Sampler(3, settings({ temperature: 0 })).obvious(2, 0.4)).toBe(2);
    expect(new Sampler(3, settings({ temperature: 0, logprobs: true })).obvious(2, 0.4)).toBe(null);
  });

  it('reads its own row', () => {
    const rows = Float32Array.from([9, 0, 0, 0, 0, 9]);
    const sampler = new Sampler(3, settings({ temperature: 0 }));
    expect([sampler.sample(rows, 0, 0), sampler.sample(rows, 3, 0)]).toEqual([0, 2]);
  });

  it('gives log-probabilities before top-k and top-p, at the temperature', () => {
    const sampler = new Sampler(logits.length, settings({ temperature: 0.7, topK: 3, topP: 0.5, logprobs: true }));
    const token = sampler.sample(logits, 0, 0.3);
    expect(sampler.logprob).toBeCloseTo(Math.log(reference(logits, settings({ temperature: 0.7 }))[token]!), 12);
    const greedy = new Sampler(logits.length, settings({ temperature: 0, logprobs: true }));
    const best = greedy.sample(logits, 0, 0.3);
    expect(greedy.logprob).toBeCloseTo(Math.log(reference(logits, settings({}))[best]!), 12);
  });

  it('refuses logits that are not finite', () => {
    const sampler = new Sampler(3, settings({}));
    for (const bad of [Number.NaN, Infinity]) {
      for (const place of [0, 1, 2]) {
        const row = Float32Array.from([1, 2, 3]);
        row[place] = bad;
        expect(() => sampler.sample(row, 0, 0.5)).toThrow(/finite/);
      }
    }
  });
});
